"""A platform in this process, its people and its nodes, as the tests of the platform need them."""

import asyncio
import base64
import functools
import gzip
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.jwk import OKPKey
from pydantic import SecretStr
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.crypto import httpsig, orgkey, sealing
from bridge_node.crypto.sealing import Address
from bridge_node.messages import ConfigAnswer, RepositoryDocument, digest
from bridge_node.platform import auth
from bridge_node.platform.app import create_app
from bridge_node.platform.auth import Role
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.database import Database
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.models import (
    audit_events,
    buckets,
    members,
    metadata,
    organisation_keys,
    organisations,
    repositories,
    repository_buckets,
    repository_keys,
    users,
    workspaces,
)
from bridge_node.platform.settings import PlatformLimits, PlatformSettings
from bridge_node.platform.vault import Vault
from bridge_node.platform.wakeups import changed

URL = "https://platform.test"
NOW = 1_770_000_000.0
TOKEN_KEY = base64.b64encode(b"t" * 32).decode()
MASTER = base64.b64encode(b"m" * 32).decode()


@dataclass
class Clock:
    now: float = NOW

    def ms(self) -> int:
        return int(self.now * 1000)


@dataclass
class PlatformUnderTest:
    platform: Platform
    client: httpx.AsyncClient
    clock: Clock

    def token(self, user: str = "owner-1", organisation: str = "org-1", **changes: Any) -> str:
        issuer = next(iter(self.platform.issuers))
        terms = {"now": self.clock.now, "seconds": 3600.0, **changes}
        return auth.issue(issuer, user_id=user, email="", organisation_id=organisation, **terms)

    async def call(
        self, method: str, path: str, *, user: str = "owner-1", organisation: str = "org-1", **options: Any
    ) -> httpx.Response:
        """A call of a person."""
        headers = {"Authorization": f"Bearer {self.token(user, organisation)}", **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def new_key(self, organisation: str = "org-1") -> str:
        """The private key, in PEM form, of a new organisation key. Made as the API makes one, only sooner."""
        private, public = key_pair(await self.count(organisation_keys))
        key = {"public_key": public, "thumbprint": orgkey.thumbprint(orgkey.load_public(public))}
        row = {"id": new_id(self.clock.ms()), "organisation_id": organisation, "created_at": self.clock.ms(), **key}
        await self.change(insert(organisation_keys).values(row), topic=organisation)
        return private

    async def change(self, *statements: Any, topic: str = "org-1") -> None:
        """Does something in the database, as another process would."""
        async with self.platform.database.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)
            await changed(connection, topic)

    async def rows(self, statement: Any) -> Sequence[Any]:
        async with self.platform.database.reading() as connection:
            return (await connection.execute(statement)).all()

    async def count(self, table: Any) -> int:
        ((number,),) = await self.rows(select(func.count()).select_from(table))
        return int(number)

    async def events(self) -> list[tuple[int, int, str]]:
        """(context, event, id), oldest first."""
        rows = await self.rows(select(audit_events).order_by(audit_events.c.id))
        return [(row.context, row.event, row.context_id) for row in rows]


@functools.cache
def key_pair(number: int) -> tuple[str, str]:
    """Making one takes longer than most tests."""
    return orgkey.generate()


@functools.cache
def private_key(pem: str) -> RSAPrivateKey:
    """Reading one takes long, too."""
    return orgkey.load_private(pem)


@dataclass
class VendorNode:
    """A node that speaks the vendor's contract alone."""

    here: PlatformUnderTest
    key: str
    ip: str = "203.0.113.7"
    region: str = "eu-west-1"
    organisation: str | None = "org-1"

    def signed(self, **fields: Any) -> dict[str, Any]:
        """A body with a signature of now; `fields` are added, and None takes one out."""
        timestamp = fields.pop("timestamp", int(self.here.clock.now))
        signature = orgkey.sign(private_key(self.key), self.ip, self.region, str(timestamp))
        body = {
            "ip": self.ip,
            "region": self.region,
            "timestamp": timestamp,
            "signature": signature,
            "id_org": self.organisation,
            **fields,
        }
        return {name: value for name, value in body.items() if value is not None}

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        return await self.here.client.post(path, json=self.signed(**fields))

    async def register(self, **fields: Any) -> httpx.Response:
        self.here.clock.now += 1
        return await self.post("/register", **{"status": "running", "version": "1.2", "provider": "aws", **fields})


@dataclass
class OwnNode:
    """One of our nodes, with keys of its own."""

    here: PlatformUnderTest
    organisation_key: str
    ip: str = "node-1"
    organisation: str | None = "org-1"
    sign: OKPKey = field(default_factory=sealing.new_signing_key)
    seal: OKPKey = field(default_factory=sealing.new_sealing_key)
    pinned: dict[str, OKPKey] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, Any]:
        return {"sign": self.sign.as_dict(private=False), "seal": self.seal.as_dict(private=False)}

    async def enrol(self, **fields: Any) -> httpx.Response:
        private = private_key(self.organisation_key)
        body = {**self.registration(), "nodeKeys": self.keys, **fields}
        answer = await self.send("/register", body, private, orgkey.thumbprint(private.public_key()))
        if answer.status_code == 200:
            keys = [OKPKey.import_key(key) for key in answer.json()["platformKeys"]["keys"]]
            self.pinned = {key.thumbprint(): key for key in keys}
        return answer

    def registration(self) -> dict[str, Any]:
        return {"ip": self.ip, "nodeId": self.ip, "region": "eu-west-1", "version": "1", "status": "running"} | (
            {"id_org": self.organisation} if self.organisation else {}
        )

    def identity(self) -> dict[str, Any]:
        return {"ip": self.ip, "region": "eu-west-1", "id_org": self.organisation}

    async def config(self, known: Mapping[str, str] | None = None, wait: int = 0) -> ConfigAnswer:
        """What the platform gives it, checked as the node would."""
        answer = await self.post("/node/config", {"known": known or {}, "waitSeconds": wait})
        assert answer.status_code == 200, answer.text
        return ConfigAnswer.decode(sealing.opened(answer.text, self.pinned))

    def unsealed(self, answer: ConfigAnswer) -> dict[str, RepositoryDocument]:
        opened = {
            one.id: sealing.unseal(one.sealed, Address(self.organisation or "", self.ip, one.id), self.seal)
            for one in answer.documents
        }
        assert {name: digest(content) for name, content in opened.items()} == {
            one.id: one.digest for one in answer.documents
        }
        return {name: RepositoryDocument.decode(content) for name, content in opened.items()}

    async def post(self, path: str, body: Mapping[str, Any], *, keyid: str = "", **options: Any) -> httpx.Response:
        """Signed with its own key, under its own name if no other is given."""
        key = self.sign.private_key
        assert isinstance(key, Ed25519PrivateKey)
        return await self.send(path, body, key, keyid or self.sign.thumbprint(), **options)

    async def send(
        self,
        path: str,
        body: Mapping[str, Any],
        key: httpsig.PrivateKey,
        keyid: str,
        *,
        sent: bytes | None = None,
        url: str = URL,
        to: str = "",
        age: float = 0,
        nonce: str | None = None,
        zipped: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """`sent` and `to` are what is really sent, and where, instead of what is signed."""
        content = json.dumps(body).encode()
        if zipped:
            content = gzip.compress(content)
        call = httpsig.Call("POST", url + path, content)
        signature = httpsig.sign(key, keyid, call, self.here.clock.now - age, nonce or secrets.token_urlsafe(16))
        encoding = {"Content-Encoding": "gzip"} if zipped else {}
        all_headers = {"Content-Type": "application/json", **encoding, **signature, **(headers or {})}
        return await self.here.client.post(to or path, content=content if sent is None else sent, headers=all_headers)


@asynccontextmanager
async def running_platform(url: str, directory: Path, **settings: Any) -> AsyncIterator[PlatformUnderTest]:
    """A platform on an empty database, which gets what `populate` makes."""
    database = await asyncio.to_thread(Database.open, url)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        await populate(connection, Vault(base64.b64decode(MASTER)), Clock().ms())
    await database.close()
    async with another_process(url, directory, **settings) as platform:
        yield platform


@asynccontextmanager
async def another_process(url: str, directory: Path, **settings: Any) -> AsyncIterator[PlatformUnderTest]:
    """A platform that shares nothing with others but the database."""
    clock = Clock()
    made = PlatformSettings(
        **{
            "state_directory": directory,
            "database": SecretStr(url),
            "master_key": SecretStr(MASTER),
            "external_urls": (URL,),
            "limits": PlatformLimits(bad_signatures_per_minute=50, connections=5),
            **settings,
        }
    )
    platform = await asyncio.to_thread(assemble, made, clock.ms)  # before there is a loop, when it is served
    app = await asyncio.to_thread(create_app, platform)
    transport = httpx.ASGITransport(app, client=("198.51.100.1", 40000))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield PlatformUnderTest(platform, client, clock)


async def populate(connection: AsyncConnection, vault: Vault, now: int) -> None:
    """Two organisations with people of each role, a bucket, a repository and its key."""
    made = {"created_at": now}
    for number in ("1", "2"):
        organisation, workspace = f"org-{number}", f"ws-{number}"
        mine = {"organisation_id": organisation, **made}
        await connection.execute(insert(organisations).values(id=organisation, name=f"Organisation {number}", **made))
        people = [
            (f"owner-{number}", Role.OWNER),
            (f"user-{number}", Role.USER),
            (f"admin-{number}", Role.ADMINISTRATORS),
        ]
        for user, role in people:
            await connection.execute(
                insert(users).values(id=user, email=f"{user}@example.com", name=user.title(), role=role, **mine)
            )
        await connection.execute(insert(workspaces).values(id=workspace, name="Main", **mine))
        mine |= {"workspace_id": workspace}
        bucket, repository = f"bucket-{number}", f"repo-{number}"
        await connection.execute(
            insert(buckets).values(
                id=bucket,
                name="Media",
                bucket="media",
                storage_type="S3",
                key="AK",
                secret_sealed=vault.seal(f"backend-secret-{number}", "buckets", bucket),
                **mine,
            )
        )
        await connection.execute(
            insert(repositories).values(
                id=repository,
                name="Photos",
                storage_type="S3",
                mode="NORMAL",
                token_key_sealed=vault.seal(TOKEN_KEY, "repositories", repository),
                **mine,
            )
        )
        await connection.execute(
            insert(repository_buckets).values(id=f"rb-{number}", repository_id=repository, bucket_id=bucket)
        )
        await connection.execute(
            insert(repository_keys).values(
                id=f"key-{number}",
                organisation_id=organisation,
                repository_id=repository,
                name="ci",
                access="WRITE",
                key=f"FBAK{number}",
                secret_sealed=vault.seal("client-secret", "repository_keys", f"key-{number}"),
                **made,
            )
        )
    await connection.execute(insert(members).values(workspace_id="ws-1", user_id="user-1", access="READ"))
