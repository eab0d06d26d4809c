"""Keeps the catalog as the platform has it: asks for changes by long poll, checks them, puts them in force.

What cannot be believed changes nothing. What is in force stays so while the platform is away, until its lease ends;
only an answer signed by the platform takes it away sooner.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import structlog

from bridge_node.agent.answers import MILLISECONDS, AnswerRefused, Held, Outcome, Reader, absorb, opened
from bridge_node.agent.backoff import Backoff
from bridge_node.agent.client import SIGNED_ANSWER_LIMIT, Call, PlatformAway, PlatformClient, PlatformRefused, Signer
from bridge_node.agent.documents import Unusable
from bridge_node.agent.sealedstore import SealedStore
from bridge_node.agent.standing import Standing
from bridge_node.catalog import Catalog, Repository
from bridge_node.crypto.sealing import SealBroken
from bridge_node.messages import BadMessage, ConfigAnswer, ConfigRequest, Task
from bridge_node.settings import Platform
from bridge_node.telemetry import metrics
from bridge_node.telemetry.metrics import Recorder

ROUTE = "/node/config"
QUICK_SECONDS = 1.0
"""An answer without news that comes sooner than this did not wait for any: the next question does."""
REFUSED_SECONDS = 300.0
"""How long a document that was refused is not asked for again, unless something changes."""
LEASE_CHECK_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hooks:
    """What sync needs of the process that it runs in."""

    apply: Callable[[Catalog], Awaitable[None]]
    """Puts a catalog in force on every worker."""
    admit: Callable[[Repository], None]
    """Makes a repository's backends; raises ValueError or OSError for what this host cannot reach."""
    taken: Callable[[], Collection[str]]
    """Access key ids of the operator's own."""
    tasks: Callable[[Collection[Task]], None]
    """Takes up what the platform asks to be done."""
    lost: Callable[[], None]
    """The platform does not know this node any more."""


class Sync:
    """One node's part of the platform's catalog. `restore` before anything is served, then `run`."""

    def __init__(
        self,
        settings: Platform,
        store: SealedStore,
        recorder: Recorder,
        hooks: Hooks,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.version = 0
        self.answered_at = 0.0
        self.revoked = False
        """Whether the platform has said, signed, that this node is to serve nothing."""
        self.lease_until = 0.0
        """Epoch seconds; 0 before anything was received."""
        self.standing = Standing("platform_configuration", "none")
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._hooks = hooks
        self._now = now
        self._held: Mapping[str, Held] = {}
        self._bad: Mapping[str, str] = {}
        """Documents that were refused, by the digest that they came with."""
        self._bad_since = 0.0
        self._in_force: Catalog | None = None
        """Set after it was applied, so that what fails on the way there is tried again."""
        self._changing = asyncio.Lock()
        self._backoff = Backoff(settings.retry_limit)

    # --- from disk -------------------------------------------------------------------------------------------------

    def restore(self, reader: Reader) -> Catalog:
        """What the node may serve before it has reached the platform. Blocks."""
        self.version = self._store.revoked_at()
        token = self._store.answer()
        if token is None:
            return Catalog()
        try:
            answer = reader.answer(token)
        except AnswerRefused as refusal:
            self._count_refusal(refusal)
            return Catalog()
        self.version = max(self.version, answer.version)
        self._renew_lease(answer)
        if self.lease_left <= 0:
            self.standing.became("lapsed", level=logging.WARNING)
            return Catalog()
        outcome = self._admitted(self._reopened(reader, answer))
        self._note_refused(outcome.refused, answer, news=True)
        self._held = outcome.held
        self.standing.became("restored")
        self._in_force = self._catalog(self._held)
        return self._in_force

    def _reopened(self, reader: Reader, answer: ConfigAnswer) -> Outcome:
        held: dict[str, Held] = {}
        for name, digest in answer.serves.items():
            for sealed in self._store.documents(name, digest):
                try:
                    held[name] = reader.document(name, sealed, None)
                except (SealBroken, BadMessage, Unusable) as error:
                    self._refused(name, str(error))
                    continue
                break
        return Outcome(held)

    # --- from the platform -----------------------------------------------------------------------------------------

    async def run(self, client: PlatformClient, reader: Reader, signer: Signer, known: asyncio.Event) -> None:
        """Asks for as long as the platform knows this node."""
        while known.is_set():
            pause = await self._turn(client, reader, signer)
            await asyncio.sleep(pause)

    async def watch_lease(self) -> None:
        """Ends service when the platform has been away for too long."""
        while True:
            await asyncio.sleep(LEASE_CHECK_SECONDS)
            async with self._changing:
                if self._in_force is not None and self.lease_left <= 0:
                    self.standing.became("lapsed", level=logging.ERROR)
                    await self._hooks.apply(Catalog())
                    self._in_force = None

    @property
    def serves(self) -> bool:
        """Whether something that the platform gave is in force."""
        return self._in_force is not None

    @property
    def attachments(self) -> frozenset[str]:
        """Ids of the buckets and accounts that the platform gave."""
        return frozenset(name for held in self._held.values() for name in held.served.repository.attachments)

    @property
    def lease_left(self) -> float:
        return self.lease_until - self._now() if self.lease_until else 0.0

    async def _turn(self, client: PlatformClient, reader: Reader, signer: Signer) -> float:
        """One question; returns how long to wait before the next."""
        begun = asyncio.get_running_loop().time()
        try:
            token = await client.post(self._question(signer))
            answer = await asyncio.to_thread(reader.fresh_answer, token, self._now(), self.version)
        except PlatformAway as error:
            self.standing.became("away", level=logging.WARNING, reason=str(error))
            return self._backoff.failed()
        except PlatformRefused as error:
            self.standing.became("refused", level=logging.WARNING, reason=str(error))
            self._hooks.lost()
            return self._backoff.failed()
        except AnswerRefused as refusal:
            self._count_refusal(refusal)
            return self._backoff.failed()
        if answer.revoked:
            await self._obey_revocation(answer)
            return self._backoff.failed()
        self._backoff.succeeded()
        news = await self._take(reader, answer, token)
        waited = asyncio.get_running_loop().time() - begun
        return 0.0 if news or waited > QUICK_SECONDS else QUICK_SECONDS

    def _question(self, signer: Signer) -> Call:
        wait = self._settings.poll_seconds if self._in_force is not None else 0.0
        if self._now() > self._bad_since + REFUSED_SECONDS:
            self._bad = {}
        known = {**_digests(self._held), **self._bad}
        body = ConfigRequest(known=known, waitSeconds=int(wait)).encode()
        return Call(ROUTE, body, signer, wait=wait, limit=SIGNED_ANSWER_LIMIT)

    async def _take(self, reader: Reader, answer: ConfigAnswer, token: bytes) -> bool:
        """Whether the answer brought anything new."""
        self.version, self.answered_at = answer.version, self._now()
        documents = await asyncio.to_thread(opened, reader, answer)
        outcome = absorb(answer, self._admitted(documents), self._held, self._hooks.taken())
        news = self._in_force is None or _digests(outcome.held) != _digests(self._held)
        self._note_refused(outcome.refused, answer, news=news)
        self._renew_lease(answer)
        self.standing.became("current")
        if news:
            await self._put_in_force(outcome.held)
        self._hooks.tasks(answer.tasks)
        await self._keep(token)
        return news or bool(answer.tasks)

    async def _put_in_force(self, held: Mapping[str, Held]) -> None:
        async with self._changing:
            catalog = self._catalog(held)
            await self._hooks.apply(catalog)
            self._held, self._in_force, self.revoked = held, catalog, False

    async def _obey_revocation(self, answer: ConfigAnswer) -> None:
        self.version, self.answered_at = answer.version, self._now()
        self.standing.became("revoked", level=logging.ERROR)
        async with self._changing:
            if not self.revoked:
                await self._hooks.apply(Catalog())
            self._held, self._in_force, self._bad, self.lease_until, self.revoked = {}, None, {}, 0.0, True
        try:
            await asyncio.to_thread(self._store.erase, self.version)
        except OSError as error:
            log.error("platform_catalog_not_erased", reason=str(error))

    async def _keep(self, token: bytes) -> None:
        try:
            await asyncio.to_thread(self._store.save, token, self._held)
        except OSError as error:
            log.error("platform_catalog_not_kept", reason=str(error))

    def _admitted(self, documents: Outcome) -> Outcome:
        """Leaves out what this host cannot serve, such as an endpoint that is no URL."""
        held, refused = dict(documents.held), dict(documents.refused)
        for name, one in documents.held.items():
            try:
                self._hooks.admit(one.served.repository)
            except (ValueError, OSError) as error:
                refused[name] = str(error)
                del held[name]
        return Outcome(held, refused)

    def _catalog(self, held: Mapping[str, Held]) -> Catalog:
        repositories = {name: one.served.repository for name, one in held.items()}
        keys = {key.id: key for one in held.values() for key in one.served.keys}
        return Catalog(self.version, repositories, keys)

    def _renew_lease(self, answer: ConfigAnswer) -> None:
        ours = answer.issued_at / MILLISECONDS + self._settings.lease_limit
        self.lease_until = min(answer.not_after / MILLISECONDS, ours)

    # --- what went wrong -------------------------------------------------------------------------------------------

    def _count_refusal(self, refusal: AnswerRefused) -> None:
        self._recorder.add(metrics.PLATFORM_ANSWERS_REFUSED, refusal.reason)
        self.standing.became("not_believed", level=logging.ERROR, reason=f"{refusal.reason}: {refusal}")

    def _note_refused(self, refused: Mapping[str, str], answer: ConfigAnswer, *, news: bool) -> None:
        """A refused document is not asked for again at once. After a change it is: it may have been in its way."""
        for name, reason in refused.items():
            self._refused(name, reason)
        if refused or news:
            self._bad = {name: answer.serves[name] for name in refused}
            self._bad_since = self._now()

    def _refused(self, name: str, reason: str) -> None:
        self._recorder.add(metrics.PLATFORM_DOCUMENTS_REFUSED)
        log.error("platform_document_refused", document=name, reason=reason, kept=name in self._held)


def _digests(held: Mapping[str, Held]) -> Mapping[str, str]:
    return {name: one.digest for name, one in held.items()}
