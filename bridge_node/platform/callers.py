"""Which node calls: the signatures of node-protocol §2, and what keeps a signed call from being used twice.

Enrolled nodes sign with their own key by RFC 9421; their nonces are remembered in the database. Others sign
`ip|region|timestamp` with their organisation's key, which binds neither route nor body: the answer to each such
signature is remembered, so that it is good for this one call. A node that ever enrolled is not heard in that form.

What a call does, and the memory of it, is one transaction: a call counts wholly, and once, or never came.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.crypto import httpsig, orgkey, sealing
from bridge_node.messages import Registration, SignedText
from bridge_node.platform.database import Database
from bridge_node.platform.errors import PlatformError
from bridge_node.platform.rates import Rate
from bridge_node.platform.signers import Signers
from bridge_node.platform.store import enrolments, nodes, nonces, orgkeys
from bridge_node.platform.store.enrolments import Enrolment
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.nonces import Nonce
from bridge_node.platform.store.orgkeys import OrganisationKey
from bridge_node.platform.together import Batch

log = structlog.get_logger()

NETWORK_KEY = "network"
"""Stands for the id of the key of public nodes, which is a setting and no row."""
WITHOUT_REGION = "/unregister"
"""The one route whose callers may leave their region out (contract §5.2)."""
_PATIENCE_MS = int(orgkey.FRESH_SECONDS * 1000) + 1000


@dataclass(frozen=True, slots=True)
class NodeCall:
    """A request of a node. `body` is as sent, `address` is for limits."""

    route: str
    """One name for a route and its aliases."""
    method: str
    url: str | None
    """The one that the node meant; None when it meant another host."""
    headers: Mapping[str, str]
    body: bytes
    address: str
    refusal: type[PlatformError]
    """What a caller gets whose signature does not hold: the routes differ."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who it was. Enrolled nodes have an enrolment, others a key of their organisation; while enrolling it is both."""

    organisation_id: str
    ip: str
    node: Node | None
    key: OrganisationKey | None = None
    enrolment: Enrolment | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    media_type: str = "application/json"

    @classmethod
    def json(cls, value: Mapping[str, Any]) -> "Answer":
        return cls(200, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


Work = Callable[[AsyncConnection, Caller], Awaitable[Answer]]
_CallerAndKey = tuple[Caller, httpsig.PublicKey]
_USED = "The signature was used before"


class _Refused(Exception):
    """A call that nobody we know has signed. The text is told to the caller."""


class Callers:
    """Answers node calls. `network_key` is the public key of nodes without an organisation.

    `on_refusal` is told the route of each call that is not believed.
    """

    def __init__(
        self,
        database: Database,
        signers: Signers,
        failures: Rate,
        now_ms: Callable[[], int],
        network_key: str,
        *,
        on_refusal: Callable[[str], None],
    ) -> None:
        self._database = database
        self._signers = signers
        self._nonces = Batch(self._use_nonces)
        self._failures = failures
        self._on_refusal = on_refusal
        self._now_ms = now_ms
        self._network_key = _network_key(network_key) if network_key else None

    async def answer(self, call: NodeCall, message: SignedText, work: Work) -> Answer:
        """Does `work` for the node that signed `call`, in one transaction with the memory of the call.

        What `work` refuses is undone, and remembered as any other answer. Raises `call.refusal` for a signature that
        does not hold, TooMany for an address with too many of them.
        """
        try:
            if httpsig.signed(call.headers):
                return await self._answer_signed(call, message, work)
            return await self._answer_plain(call, message, work)
        except _Refused as error:
            raise self._refusal(call, str(error)) from error

    async def enrolled(self, call: NodeCall) -> Caller:
        """The enrolled node that signed a call without the contract's fields; its nonce is used up.

        Deleted nodes are known too: what they still may hear is for the caller of this to decide.
        """
        try:
            caller, verified = await self._signed_by(call, None)
            await self._use_nonce(verified)
        except _Refused as error:
            raise self._refusal(call, str(error)) from error
        return caller

    async def _use_nonce(self, verified: httpsig.Verified) -> None:
        if not await self._nonces.ask(_nonce(verified)):
            raise _Refused(_USED)

    async def _use_nonces(self, used: Sequence[Nonce]) -> list[bool]:
        async with self._database.statement() as connection:
            return await nonces.use_all(connection, used)

    def _refusal(self, call: NodeCall, reason: str) -> PlatformError:
        log.info("node_call_refused", route=call.route, address=call.address, reason=reason)
        self._on_refusal(call.route)
        self._failures.hit(call.address)
        return call.refusal(reason)

    # RFC 9421

    async def _answer_signed(self, call: NodeCall, message: SignedText, work: Work) -> Answer:
        caller, verified = await self._signed_by(call, message)
        _require_working(caller.enrolment, waits=isinstance(message, Registration))
        async with self._database.transaction() as connection:
            if not await nonces.use(connection, _nonce(verified)):
                raise _Refused(_USED)
            return await _done(connection, caller, work)

    async def _signed_by(self, call: NodeCall, message: SignedText | None) -> tuple[Caller, httpsig.Verified]:
        keyid = httpsig.claimed_keyid(call.headers)
        if keyid is None:
            raise _Refused("The signature names no key")
        if call.url is None:
            raise _Refused("The call was made to another host")
        signer = await self._own_key(keyid, message)
        if signer is None and isinstance(message, Registration) and message.node_keys is not None:
            async with self._database.reading() as connection:
                signer = await self._organisation_key(connection, keyid, message)
        if signer is None:
            raise _Refused("Signature refused")
        caller, key = signer
        signed = httpsig.Call(call.method, call.url, call.body)
        try:
            return caller, httpsig.verify({keyid: key}.get, signed, call.headers, self._now_ms() / 1000)
        except httpsig.SignatureRefused as error:
            log.debug("node_signature_refused", reason=str(error))
            raise _Refused("Signature refused") from error

    async def _own_key(self, keyid: str, message: SignedText | None) -> _CallerAndKey | None:
        signer = await self._signers.of(keyid)
        if signer is None:
            return None
        node, enrolment = signer.node, signer.enrolment
        if message is not None and (message.ip, message.id_org or "") != (node.ip, node.organisation_id):
            raise _Refused("Signed by another node")
        caller = Caller(node.organisation_id, node.ip, node, enrolment=enrolment)
        return caller, sealing.verification_key(enrolment.sign)

    async def _organisation_key(
        self, connection: AsyncConnection, keyid: str, message: SignedText
    ) -> _CallerAndKey | None:
        organisation_id = message.id_org or ""
        for key in await self._keys_of(connection, organisation_id):
            if key.thumbprint == keyid:
                node = await nodes.named(connection, organisation_id, message.ip)
                caller = Caller(organisation_id, message.ip, node, key=key)
                return caller, orgkey.load_public(key.public_key)
        return None

    # ip|region|timestamp

    async def _answer_plain(self, call: NodeCall, message: SignedText, work: Work) -> Answer:
        self._failures.check(call.address)
        if isinstance(message, Registration) and message.node_keys is not None:
            raise _Refused("A node's own keys are enrolled with an HTTP message signature")
        signature, timestamp = message.signature, message.timestamp
        moment = None if timestamp is None else orgkey.instant(timestamp)
        if signature is None or timestamp is None or moment is None:
            raise _Refused("ip, timestamp and signature are needed")
        if message.region is None and call.route != WITHOUT_REGION:
            raise _Refused("region is needed")
        if not orgkey.fresh(timestamp, self._now_ms() / 1000):
            raise _Refused("The timestamp is not recent")
        async with self._database.reading() as connection:
            caller = await self._plain_caller(connection, message, timestamp, signature)
        name, digest = _digest_of_signature(signature), hashlib.sha256(call.body).hexdigest()
        async with self._database.transaction() as connection:
            forget_at = int(moment * 1000) + _PATIENCE_MS
            before = await nonces.begin(connection, name, call.route, digest, forget_at)
            if before is not None:
                if (before.route, before.body_digest) != (call.route, digest):
                    raise _Refused(_USED)
                return Answer(before.status, before.answer)
            answer = await _done(connection, caller, work)
            await nonces.remember(connection, name, answer.status, answer.body)
        return answer

    async def _plain_caller(
        self, connection: AsyncConnection, message: SignedText, timestamp: str, signature: str
    ) -> Caller:
        organisation_id = message.id_org or ""
        node = await nodes.named(connection, organisation_id, message.ip)
        try:
            texts = orgkey.candidates(
                message.ip, message.region, timestamp, message.id_org, node.region if node else ""
            )
        except orgkey.UnsignableText as error:
            raise _Refused(str(error)) from error
        known = {key.id: key for key in await self._keys_of(connection, organisation_id)}
        public = {key.id: orgkey.load_public(key.public_key) for key in known.values()}
        signer = orgkey.verify(public, texts, signature)
        if signer is None:
            raise _Refused("Signature refused")
        if node is not None and await enrolments.of(connection, node.id):
            raise _Refused("An enrolled node signs with its own key")
        return Caller(organisation_id, message.ip, node, key=known[signer])

    async def _keys_of(self, connection: AsyncConnection, organisation_id: str) -> list[OrganisationKey]:
        if organisation_id:
            return (await orgkeys.of(connection, organisation_id))[: orgkey.KEYS_TRIED]
        return [self._network_key] if self._network_key else []


def _network_key(pem: str) -> OrganisationKey:
    return OrganisationKey(NETWORK_KEY, "", pem, orgkey.thumbprint(orgkey.load_public(pem)), 0)


def _require_working(enrolment: Enrolment | None, *, waits: bool) -> None:
    """Whether the node's own keys may be used; with `waits`, also by a node that asks how its enrolment stands."""
    if enrolment is None or enrolment.works:
        return
    if enrolment.revoked_at is not None:
        raise _Refused("The enrolment was revoked")
    if not waits:
        raise _Refused("The enrolment waits for approval")


def _nonce(verified: httpsig.Verified) -> Nonce:
    return Nonce(verified.keyid, verified.nonce, verified.forget_at * 1000)


def _digest_of_signature(signature: str) -> str:
    """The same for every way to write the same signature in base64."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Refused("Signature refused") from error
    return hashlib.sha256(raw).hexdigest()


async def _done(connection: AsyncConnection, caller: Caller, work: Work) -> Answer:
    """The answer of `work`; what it refuses is undone, but for the memory that it came."""
    try:
        async with connection.begin_nested():
            return await work(connection, caller)
    except PlatformError as error:
        if error.status >= 500:
            raise
        return Answer(error.status, json.dumps(error.body()).encode())
