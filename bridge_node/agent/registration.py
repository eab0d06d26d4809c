"""Makes the node known to its platform, for ever: enrols with the organisation's key, afterwards with its own.

A platform that answers an enrolment without keys of its own knows only the vendor's contract; the node then works by
that alone (node-protocol.md §1). Which of both it is cannot change behind an operator's back: where keys were pinned,
an answer without them, or with others, is not believed.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc.jwk import OKPKey

from bridge_node.agent.backoff import Backoff
from bridge_node.agent.client import Call, PlatformAway, PlatformClient, PlatformRefused
from bridge_node.agent.identity import Enrolment, Identity, IdentityStore, platform_keys
from bridge_node.agent.standing import Standing
from bridge_node.crypto import orgkey
from bridge_node.messages import BadMessage, Registration, RegistrationAnswer

REGISTER, UNREGISTER = "/register", "/unregister"
WAITING_SECONDS = 30.0
"""How often a node asks that an administrator has still to approve."""
STATES = ("unregistered", "registered", "contract", "waiting", "refused", "no_key", "not_believed", "not_kept", "away")


class NoKey(Exception):
    """The node has to enrol and was not given the organisation's key."""


class NotBelieved(Exception):
    """An answer that a platform which we trust would not give."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What an answer means. Without `enrolment` the platform knows the contract alone."""

    enrolment: Enrolment | None
    waiting: bool = False


class ContractSignature:
    """The contract's plain signature over `ip|region|timestamp`. No two have the same timestamp."""

    def __init__(self, identity: Identity, now: Callable[[], float]) -> None:
        self._identity = identity
        self._now = now
        self._last = 0

    def fields(self) -> dict[str, Any]:
        """Empty without the organisation's key."""
        key = self._identity.organisation_key
        if key is None:
            return {}
        self._last = max(int(self._now() * 1000), self._last + 1)
        moment = datetime.fromtimestamp(self._last / 1000, UTC)
        timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        signature = orgkey.sign(key, self._identity.node, self._identity.region, timestamp)
        return {"timestamp": timestamp, "signature": signature}


class Registrar:
    """`registered` is set while the platform is believed to know this node."""

    def __init__(
        self,
        identity: Identity,
        enrolment: Enrolment | None,
        platform: str,
        pinned: Mapping[str, OKPKey],
        store: IdentityStore,
        *,
        retry_limit: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.standing = Standing("platform_registration", "unregistered")
        self.registered = asyncio.Event()
        self.enrolment = enrolment
        self.plain = ContractSignature(identity, now)
        self._identity = identity
        self._platform = platform
        self._pinned = pinned
        self._store = store
        self._backoff = Backoff(retry_limit)
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._enrol_anew = False

    def lost(self) -> None:
        """The platform does not know this node any more: registers again."""
        self.registered.clear()
        self._wanted.set()

    async def run(self, client: PlatformClient) -> None:
        while True:
            await self._wanted.wait()
            pause = await self._attempt(client)
            if pause is None:
                self._wanted.clear()
                self._backoff.succeeded()
                self.registered.set()
            else:
                await asyncio.sleep(pause)

    async def _attempt(self, client: PlatformClient) -> float | None:
        """None when the node is registered, else when to try again."""
        try:
            found = await self.register(client)
        except PlatformAway as error:
            self.standing.became("away", level=logging.WARNING, reason=str(error))
        except OSError as error:
            self.standing.became("not_kept", level=logging.ERROR, reason=str(error))
        except NotBelieved as error:
            self.standing.became("not_believed", level=logging.ERROR, reason=str(error))
        except NoKey:
            self.standing.became("no_key", level=logging.ERROR, reason="platform.organisation_key is needed to enrol")
        except PlatformRefused as error:
            self.standing.became("refused", level=logging.ERROR, reason=str(error))
            self._enrol_anew = not self._enrol_anew and self._identity.organisation_key is not None
        else:
            if found.waiting:
                self.standing.became("waiting", reason="an administrator has to approve this node")
                return WAITING_SECONDS
            self.enrolment, self._enrol_anew = found.enrolment, False
            self.standing.became("registered" if found.enrolment else "contract")
            return None
        return self._backoff.failed()

    async def register(self, client: PlatformClient) -> Registered:
        """One attempt; what an enrolment pins is on disk when it returns.

        Raises PlatformAway, PlatformRefused, NotBelieved or NoKey.
        """
        enrolling = self.enrolment is None or self._enrol_anew
        if enrolling and self._identity.enrolling is None:
            raise NoKey
        signer = self._identity.enrolling if enrolling else self._identity.keys.signing
        answer = _decoded(await client.post(Call(REGISTER, self._registration(enrolling).encode(), signer)))
        if not answer.success:
            raise PlatformRefused(400, "not successful")
        shown = _shown(answer)
        if self.enrolment is not None:
            return self._known(self.enrolment, shown, answer)
        return await self._enrolled(shown, answer)

    async def unregister(self, client: PlatformClient) -> None:
        """Leaves the platform's list; the enrolment stays. Raises PlatformAway or PlatformRefused."""
        enrolled, identity = self.enrolment is not None, self._identity
        message = Registration(
            **identity.said(),
            **({} if enrolled else self.plain.fields()),
            version=identity.version,
            status="stopped",
        )
        signer = identity.keys.signing if enrolled else None
        await client.post(Call(UNREGISTER, message.encode(), signer))

    def _known(self, enrolment: Enrolment, shown: Mapping[str, OKPKey], answer: RegistrationAnswer) -> Registered:
        if shown and not shown.keys() & enrolment.keys.keys():
            raise NotBelieved("the platform shows other keys than those that were pinned when the node enrolled")
        return Registered(enrolment, answer.enrolment == "waiting")

    async def _enrolled(self, shown: Mapping[str, OKPKey], answer: RegistrationAnswer) -> Registered:
        waiting = answer.enrolment == "waiting"
        if not shown:
            return self._without_keys(answer, waiting)
        if self._pinned and not shown.keys() & self._pinned.keys():
            raise NotBelieved("the platform shows other keys than platform.platform_keys")
        trusted = self._pinned or shown
        enrolment = Enrolment(self._platform, self._identity.organisation, self._identity.node, trusted)
        if not waiting:
            await asyncio.to_thread(self._store.enrolled, enrolment)
        return Registered(enrolment, waiting)

    def _without_keys(self, answer: RegistrationAnswer, waiting: bool) -> Registered:
        """A platform of the contract alone, unless there is a sign that it is another."""
        if self._pinned or answer.enrolment == "enrolled":
            raise NotBelieved("the platform shows no keys of its own")
        return Registered(None, waiting)

    def _registration(self, enrolling: bool) -> Registration:
        identity = self._identity
        said = Registration(
            **identity.said(),
            **(self.plain.fields() if enrolling else {}),
            version=identity.version,
            provider=identity.provider or None,
            url=identity.url or None,
        )
        if not enrolling:
            return said
        return said.model_copy(update={"node_id": identity.node, "node_keys": identity.keys.public})


def _decoded(body: bytes) -> RegistrationAnswer:
    try:
        return RegistrationAnswer.decode(body)
    except BadMessage as error:
        raise NotBelieved(f"an answer that is none: {error}") from error


def _shown(answer: RegistrationAnswer) -> Mapping[str, OKPKey]:
    if answer.platform_keys is None:
        return {}
    try:
        return platform_keys(answer.platform_keys)
    except ValueError as error:
        raise NotBelieved("platform keys that are none") from error
