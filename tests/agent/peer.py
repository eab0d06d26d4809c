"""A platform of a few lines to test the agent against: it keeps to the protocol, or breaks it where a test says so."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import OKPKey

from bridge_node.crypto import httpsig, orgkey, sealing
from bridge_node.messages import (
    AttachmentDocument,
    BackendDocument,
    ConfigAnswer,
    ConfigRequest,
    KeyDocument,
    RepositoryDocument,
    SealedDocument,
    digest,
)

ORGANISATION = "org-1"
NODE = "node-1"
ORGANISATION_PEM, ORGANISATION_PUBLIC = orgkey.generate()
TOKEN_KEY = base64.b64encode(bytes(range(32))).decode()

Reply = tuple[int, bytes]
Hook = Callable[[web.Request, bytes], Reply | None]


def repository(name: str = "repo-1", key: str = "AKREPO1", root: str = "disk", **more: Any) -> RepositoryDocument:
    """A repository with one local bucket `data` and one WRITE key."""
    attachment = AttachmentDocument(
        id=f"bucket-of-{name}", backend=BackendDocument(kind="local", root=root), bucket="data"
    )
    credential = KeyDocument(id=f"key-of-{name}", key=key, secret="0123456789-secret-of-the-key", access="WRITE")
    given = {"attachments": (attachment,), "keys": (credential,), "token_key": TOKEN_KEY, **more}
    return RepositoryDocument.model_validate({"id": name, "name": name, "protocol": "S3", **given})


@dataclass
class Platform:
    """What the peer knows and does. `hooks` answer in its place, by route; None lets it answer itself."""

    knows_contract_only: bool = False
    documents: dict[str, bytes] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    lease: float = 3600.0
    version: int = field(default_factory=lambda: int(time.time() * 1000))
    key: OKPKey = field(default_factory=sealing.new_signing_key)
    revoked: bool = False
    waiting: bool = False
    sign_key: OKPKey | None = None
    seal_key: OKPKey | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    questions: list[ConfigRequest] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    registered: bool = False
    url: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what an administrator does --------------------------------------------------------------------------------

    def give(self, *documents: RepositoryDocument) -> None:
        for document in documents:
            self.documents[document.id] = document.encode()
        self.wake()

    def take_away(self, name: str) -> None:
        del self.documents[name]
        self.wake()

    def wake(self) -> None:
        self.version = max(self.version + 1, int(time.time() * 1000))
        self.changed.set()
        self.changed = asyncio.Event()

    # --- answers ---------------------------------------------------------------------------------------------------

    def answer(self, known: dict[str, str], **more: Any) -> ConfigAnswer:
        serves = {name: digest(data) for name, data in self.documents.items()}
        changed = [name for name in serves if known.get(name) != serves[name]]
        now = int(time.time() * 1000)
        return ConfigAnswer.model_validate(
            {
                "org": ORGANISATION,
                "node": NODE,
                "version": self.version,
                "issuedAt": now,
                "notAfter": now + int(self.lease * 1000),
                "serves": serves,
                "documents": [self.sealed(name) for name in changed],
                "removed": [name for name in known if name not in serves],
                "tasks": self.tasks,
                "revoked": self.revoked,
                **more,
            }
        )

    def sealed(self, name: str, data: bytes | None = None, address: sealing.Address | None = None) -> SealedDocument:
        data = self.documents[name] if data is None else data
        address = address or sealing.Address(ORGANISATION, NODE, name)
        assert self.seal_key is not None
        return SealedDocument(id=name, digest=digest(data), sealed=sealing.seal(data, address, self.seal_key))

    def signed(self, answer: ConfigAnswer, key: OKPKey | None = None) -> bytes:
        return sealing.sign(answer.encode(), key or self.key).encode()

    # --- routes ----------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append(request.path)
        hooked = self.hooks[request.path](request, body) if request.path in self.hooks else None
        status, data = hooked or await self._own(request, body)
        kind = "application/jose" if request.path == "/node/config" else "application/json"
        return web.Response(status=status, body=data, content_type=kind)

    async def _own(self, request: web.Request, body: bytes) -> Reply:
        message = json.loads(body)
        if not self._signed_well(request, body, message):
            return refusal(401, "Signature refused")
        match request.path:
            case "/register":
                return self._register(message)
            case "/unregister":
                self.registered = False
                return 200, b'{"success":true,"message":"Node unregistered"}'
            case "/status" | "/node/result":
                return self._told(request.path, message)
            case "/node/config" if not self.knows_contract_only:
                return await self._config(ConfigRequest.decode(body))
        return refusal(404, "No such route")

    def _register(self, message: dict[str, Any]) -> Reply:
        self.registered = True
        if self.knows_contract_only:
            return 200, b'{"success":true,"message":"Node registered"}'
        if "nodeKeys" in message:
            self.sign_key = OKPKey.import_key(message["nodeKeys"]["sign"])
            self.seal_key = OKPKey.import_key(message["nodeKeys"]["seal"])
        keys = {"keys": [self.key.as_dict(private=False)]}
        state = "waiting" if self.waiting else "enrolled"
        return 200, json.dumps({"success": True, "platformKeys": keys, "enrolment": state}).encode()

    def _told(self, path: str, message: dict[str, Any]) -> Reply:
        if path == "/node/result":
            self.results.append(message)
        else:
            self.reports.append(message)
            self.batches.setdefault(message.get("batchId", ""), message)
        return 200, b'{"success":true,"message":"ok"}'

    async def _config(self, question: ConfigRequest) -> Reply:
        self.questions.append(question)
        serves = {name: digest(data) for name, data in self.documents.items()}
        if question.known == serves and not self.tasks and not self.revoked:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), question.wait_seconds)
        return 200, self.signed(self.answer(dict(question.known)))

    def _signed_well(self, request: web.Request, body: bytes, message: dict[str, Any]) -> bool:
        if not httpsig.signed(request.headers):
            return self.knows_contract_only and plain_signature_holds(message)
        keys: list[httpsig.PublicKey] = [orgkey.load_public(ORGANISATION_PUBLIC)] if "nodeKeys" in message else []
        if self.sign_key is not None and not self.waiting:
            public = self.sign_key.public_key
            assert isinstance(public, Ed25519PublicKey)
            keys.append(public)
        call = httpsig.Call(request.method, f"{self.url}{request.path_qs}", body)
        return any(_verifies(key, call, request) for key in keys)


def _verifies(key: httpsig.PublicKey, call: httpsig.Call, request: web.Request) -> bool:
    try:
        httpsig.verify(lambda _: key, call, dict(request.headers), time.time())
    except httpsig.SignatureRefused:
        return False
    return True


def plain_signature_holds(message: dict[str, Any]) -> bool:
    text = orgkey.signed_text(message["ip"], message["region"], str(message["timestamp"]))
    keys = {"only": orgkey.load_public(ORGANISATION_PUBLIC)}
    return orgkey.verify(keys, [text], message["signature"]) is not None and orgkey.fresh(
        str(message["timestamp"]), time.time()
    )


def refusal(status: int, message: str) -> Reply:
    return status, json.dumps({"success": False, "message": message}).encode()


def always(status: int, body: bytes) -> Hook:
    """A route that answers the same, whatever it is asked."""
    return lambda request, asked: (status, body)


@contextlib.asynccontextmanager
async def serving(platform: Platform, port: int = 0) -> AsyncIterator[Platform]:
    """The peer on a port of its own while the block runs."""
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", platform.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        await runner.cleanup()
