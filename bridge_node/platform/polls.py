"""Nodes wait here for what they may serve: signed answers with what changed, sealed (node-protocol §3).

A poll costs a few small reads. A document is built once for each revision of its repository, whoever asks, and sealed
for each node that does not have it.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node import messages
from bridge_node.crypto import sealing
from bridge_node.messages import ConfigAnswer, ConfigRequest, SealedDocument, Task
from bridge_node.platform import documents
from bridge_node.platform.callers import Caller
from bridge_node.platform.database import Database
from bridge_node.platform.errors import Unauthorised
from bridge_node.platform.signers import Signers
from bridge_node.platform.signing import SigningKeys
from bridge_node.platform.store import grants, nodes
from bridge_node.platform.store.enrolments import Enrolment
from bridge_node.platform.store.grants import Asked
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.together import Batch, Together
from bridge_node.platform.vault import Vault, VaultError
from bridge_node.platform.wakeups import Bell, Waker

log = structlog.get_logger()

BUILT_KEPT = 4096
SEALED_AT_ONCE = 4
"""More documents than these are sealed in a thread: other requests go on meanwhile."""
ANSWER_BYTES = 8 * 1024 * 1024
"""Documents beyond this wait for the node's next poll, which follows at once."""


@dataclass(frozen=True, slots=True)
class Built:
    """A repository's document in clear, as it is sealed for every node."""

    content: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Documents by repository. `broken` cannot be built: nodes keep what they have of these."""

    serves: Mapping[str, Built]
    broken: frozenset[str]


@dataclass(frozen=True, slots=True)
class View:
    """What a node may serve at one moment."""

    node: Node
    enrolment: Enrolment
    topics: frozenset[str]
    serves: Mapping[str, Built]
    broken: frozenset[str]
    tasks: tuple[Asked, ...]

    @property
    def revoked(self) -> bool:
        return self.enrolment.revoked_at is not None or self.node.deleted_at is not None

    def is_news(self, known: Mapping[str, str]) -> bool:
        """Whether a node that has `known` should be told."""
        return self.revoked or bool(self.tasks) or self.digests(known) != known

    def digests(self, known: Mapping[str, str]) -> dict[str, str]:
        """Digests of what the node serves once it has taken up everything."""
        kept = {name: digest for name, digest in known.items() if name in self.broken}
        return kept | {name: built.digest for name, built in self.serves.items()}


class Polls:
    """All long polls of this process. `close` answers them at once."""

    def __init__(
        self,
        database: Database,
        signers: Signers,
        waker: Waker,
        vault: Vault,
        keys: SigningKeys,
        lease_seconds: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._waker = waker
        self._vault = vault
        self._library = Library(vault)
        self._signers = signers
        self._of_organisation = Together(self._look_at_organisation)
        self._versions = Batch(self._next_versions)
        self._keys = keys
        self._lease_ms = int(lease_seconds * 1000)
        self._now_ms = now_ms
        self._open: dict[str, Bell] = {}
        self._closing = False

    async def answer(self, caller: Caller, request: ConfigRequest) -> str:
        """The signed answer: at once when there is news, else when there is, or when the node's patience ends.

        Raises Unauthorised for an enrolment that nobody has approved yet.
        """
        view = await self._wait(caller, request)
        return await self._signed(view, request)

    @property
    def waiting(self) -> int:
        """Nodes whose poll is open."""
        return len(self._open)

    @property
    def broken_documents(self) -> int:
        """How often a document could not be built since this process began; nodes went on with the one before."""
        return self._library.broken.total()

    def close(self) -> None:
        self._closing = True
        for bell in self._open.values():
            bell.set()

    async def _wait(self, caller: Caller, request: ConfigRequest) -> View:
        deadline = asyncio.get_running_loop().time() + request.wait_seconds
        node_id, thumbprint = _names(caller)
        topics = frozenset({node_id, caller.organisation_id})
        view: View | None = None
        mine = self._begin(node_id)
        try:
            while True:
                async with self._waker.waiting(topics, mine):
                    view = await self._look(node_id, thumbprint, view, mine.taken())
                    if view.is_news(request.known) or self._closing or self._open.get(node_id) is not mine:
                        return view
                    if view.topics <= topics and not await mine.rings_before(deadline):
                        return view
                    topics = view.topics
        finally:
            if self._open.get(node_id) is mine:
                del self._open[node_id]

    def _begin(self, node_id: str) -> Bell:
        """One poll a node: an earlier one, whose connection may be long gone, ends now."""
        before = self._open.get(node_id)
        mine = self._open[node_id] = Bell()
        if before is not None:
            before.set()
        return mine

    async def _look(self, node_id: str, thumbprint: str, before: View | None, rung_for: frozenset[str]) -> View:
        """What the node may serve now. When only its organisation changed something, all its nodes look together."""
        if before is not None and rung_for == {before.node.organisation_id}:
            found = await self._of_organisation.ask(before.node.organisation_id)
            if found is not None:
                return replace(before, serves=found.serves, broken=found.broken)
        signer = await self._signers.of(thumbprint)
        if signer is None:
            raise Unauthorised("Signature refused")
        node, enrolment = signer.node, signer.enrolment
        if enrolment.approved_at is None and enrolment.revoked_at is None:
            raise Unauthorised("The enrolment waits for approval")
        shelf, topics = await self._shelf(node)
        return View(node, enrolment, topics | {node_id}, shelf.serves, shelf.broken, signer.tasks)

    async def _shelf(self, node: Node) -> tuple[Shelf, frozenset[str]]:
        """What a node serves, and whose changes may change that."""
        shelf = await self._of_organisation.ask(node.organisation_id) if node.organisation_id else None
        if shelf is not None:
            return shelf, frozenset({node.organisation_id})
        async with self._database.reading() as connection:
            topics = {node.organisation_id}
            if not node.organisation_id:
                topics |= await grants.organisations_assigned_from(connection, node.id)
            served = await documents.served_by(connection, node)
            return await self._library.built(connection, served), frozenset(topics)

    async def _look_at_organisation(self, organisation_id: str) -> Shelf | None:
        """What each of its nodes serves; None when that differs."""
        async with self._database.reading() as connection:
            served = await documents.served_by_all_of(connection, organisation_id)
            return None if served is None else await self._library.built(connection, served)

    async def _signed(self, view: View, request: ConfigRequest) -> str:
        now, node = self._now_ms(), view.node
        chosen = {} if view.revoked else _within_bounds(view, request.known)
        version = await self._written_down(view, chosen.keys() - request.known.keys(), now)
        sealed = await _sealed(view, chosen)  # from here on nobody waits for others: answers leave one after the other
        known = {name: digest for name, digest in request.known.items() if name in view.serves or name in view.broken}
        serves = {} if view.revoked else known | {name: built.digest for name, built in chosen.items()}
        answer = ConfigAnswer(
            org=node.organisation_id,
            node=node.ip,
            version=version,
            issuedAt=now,
            notAfter=now + self._lease_ms,
            serves=serves,
            documents=sealed,
            removed=tuple(sorted(request.known.keys() - serves.keys())),
            tasks=() if view.revoked else tuple(self._tasks(view)),
            revoked=view.revoked,
        )
        return self._keys.sign(answer.encode())

    async def _written_down(self, view: View, given: Collection[str], now: int) -> int:
        """The answer's version, once it is written down what the node is given and asked for the first time."""
        if not given and not view.tasks:
            return await self._versions.ask(view.node.id)
        async with self._database.transaction() as connection:
            await grants.grant(connection, view.node.id, given, now)
            await grants.delivered(connection, [asked.task.id for asked in view.tasks], now)
            return (await nodes.next_config_versions(connection, [view.node.id], now))[0]

    async def _next_versions(self, node_ids: Sequence[str]) -> list[int]:
        async with self._database.statement() as connection:
            return await nodes.next_config_versions(connection, node_ids, self._now_ms())

    def _tasks(self, view: View) -> Iterator[Task]:
        """What the node is asked, with the places that are named sealed for it."""
        for asked in view.tasks:
            try:
                place = asked.place(self._vault)
            except VaultError as error:
                log.error("task_broken", task=asked.task.id, error=type(error).__name__)
                continue
            if place is None:
                yield asked.task
                continue
            address = sealing.Address(view.node.organisation_id, view.node.ip, asked.task.id)
            sealed = sealing.seal(place, address, sealing.sealing_key(view.enrolment.seal))
            yield asked.task.model_copy(update={"sealed": sealed})


class Library:
    """Documents by (repository, revision), the ones asked for last."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._built: OrderedDict[tuple[str, int], Built] = OrderedDict()
        self.broken: Counter[tuple[str, int]] = Counter()

    async def built(self, connection: AsyncConnection, served: Mapping[str, int]) -> Shelf:
        """Documents of these revisions."""
        found: dict[str, Built] = {}
        broken: set[str] = set()
        for name, revision in served.items():
            try:
                found[name] = await self._document(connection, name, revision)
            except documents.NoSuchRepository:
                continue  # deleted this moment
            except (VaultError, ValueError, LookupError, TypeError) as error:
                broken.add(name)
                self._note_broken(name, revision, error)
        return Shelf(found, frozenset(broken))

    def _note_broken(self, name: str, revision: int, error: Exception) -> None:
        """What is in the database is not as it should be: told once for a revision, counted whenever nodes ask."""
        self.broken[name, revision] += 1
        if self.broken[name, revision] == 1:
            reason = str(error) if isinstance(error, VaultError) else type(error).__name__  # others may quote secrets
            log.error("document_broken", repository=name, reason=reason, so_far=self.broken.total())

    async def _document(self, connection: AsyncConnection, name: str, revision: int) -> Built:
        built = self._built.get((name, revision))
        if built is None:
            content = (await documents.build(connection, self._vault, name)).encode()
            if len(content) > sealing.OPENED_LIMIT:
                raise VaultError("larger than a node opens")
            built = self._built[name, revision] = Built(content, messages.digest(content))
            if len(self._built) > BUILT_KEPT:
                self._built.popitem(last=False)
        self._built.move_to_end((name, revision))
        return built


def _names(caller: Caller) -> tuple[str, str]:
    if caller.node is None or caller.enrolment is None:
        raise Unauthorised("Signature refused")
    return caller.node.id, caller.enrolment.thumbprint


def _within_bounds(view: View, known: Mapping[str, str]) -> dict[str, Built]:
    """What the node does not have, as much of it as goes into one answer; the first one always does."""
    chosen: dict[str, Built] = {}
    size = 0
    for name, built in view.serves.items():
        if known.get(name) == built.digest:
            continue
        size += len(built.content)
        if chosen and size > ANSWER_BYTES:
            break
        chosen[name] = built
    return chosen


async def _sealed(view: View, chosen: Mapping[str, Built]) -> tuple[SealedDocument, ...]:
    if len(chosen) <= SEALED_AT_ONCE:
        return _sealed_for(view.node, view.enrolment, chosen)
    return await asyncio.to_thread(_sealed_for, view.node, view.enrolment, chosen)


def _sealed_for(node: Node, enrolment: Enrolment, chosen: Mapping[str, Built]) -> tuple[SealedDocument, ...]:
    key = sealing.sealing_key(enrolment.seal)
    addresses = {name: sealing.Address(node.organisation_id, node.ip, name) for name in chosen}
    return tuple(
        SealedDocument(id=name, digest=built.digest, sealed=sealing.seal(built.content, addresses[name], key))
        for name, built in chosen.items()
    )
