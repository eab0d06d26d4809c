"""The platform as a process, and the vendor's node as its script is: openssl and curl."""

import asyncio
import base64
import json
import multiprocessing
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from blockbuster import BlockBuster
from pydantic import SecretStr
from sqlalchemy import insert

from bridge_node.platform import auth, masterkey, migrations
from bridge_node.platform.database import Database
from bridge_node.platform.models import organisation_keys, organisations, users
from bridge_node.platform.serve import serve
from bridge_node.platform.settings import PlatformSettings

_SPAWN = multiprocessing.get_context("spawn")


def _serve(settings: PlatformSettings, ready: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, migrate=True, on_ready=ready.put))


@pytest.fixture
async def url(database_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """A platform process of its own, with an organisation whose key is in key.pem. It ends as it should."""
    await asyncio.to_thread(masterkey.make, tmp_path)
    settings = PlatformSettings(state_directory=tmp_path, database=SecretStr(database_url), port=0)
    ready = _SPAWN.Queue()
    process = _SPAWN.Process(target=_serve, args=(settings, ready), daemon=True)
    process.start()
    url: str = await asyncio.to_thread(ready.get, timeout=60)
    await bootstrap(database_url, tmp_path)
    yield url
    process.terminate()
    await asyncio.to_thread(process.join, 30)
    assert process.exitcode == 0


async def bootstrap(database_url: str, directory: Path) -> None:
    made = {"created_at": 1}
    mine = {"organisation_id": "org-1", **made}
    key = directory / "key.pem"
    await asyncio.to_thread(run, "openssl", "genrsa", "-traditional", "-out", str(key), "2048")
    public = (await asyncio.to_thread(run, "openssl", "rsa", "-in", str(key), "-pubout")).decode()
    database = Database.open(database_url)
    async with database.transaction() as connection:
        await connection.execute(insert(organisations).values(id="org-1", name="One", **made))
        await connection.execute(insert(users).values(id="u-1", email="u@x", role=255, **mine))
        await connection.execute(insert(organisation_keys).values(id="key-1", public_key=public, **mine))
    await database.close()


def run(*command: str, given: bytes = b"") -> bytes:
    return subprocess.run(command, input=given, check=True, capture_output=True, timeout=30).stdout


def curl(*arguments: str) -> tuple[int, Any]:
    body, _, status = run("curl", "-sS", "-w", "\n%{http_code}", *arguments).decode().rpartition("\n")
    return int(status), json.loads(body)


def signed(key: Path, timestamp: int, **fields: str) -> str:
    """A call as the vendor's script writes it."""
    text = f"203.0.113.7|eu-west-1|{timestamp}"
    signature = run(
        "openssl", "base64", "-A", given=run("openssl", "dgst", "-sha256", "-sign", str(key), given=text.encode())
    )
    body = {"ip": "203.0.113.7", "region": "eu-west-1", "version": "1", "status": "running", "id_org": "org-1"}
    return json.dumps({**body, "timestamp": timestamp, "signature": signature.decode(), **fields})


def test_openssl_and_curl_register_a_node(url: str, tmp_path: Path) -> None:
    key, now = tmp_path / "key.pem", int(time.time())
    post = ("-H", "Content-Type: application/json", "-d")
    assert curl(f"{url}/health") == (200, {"status": "ok"})
    call = signed(key, now)
    assert curl(f"{url}/register", *post, call) == (200, {"success": True, "message": "Node registered"})
    issuer = auth.own_issuer(masterkey.load(PlatformSettings(state_directory=tmp_path))[0])
    token = auth.issue(issuer, user_id="u-1", email="", organisation_id="org-1", now=now, seconds=60)
    status, listed = curl(f"{url}/node", "-H", f"Authorization: Bearer {token}")
    assert (status, [node["ip"] for node in listed["data"]]) == (200, ["203.0.113.7"])
    changed = call.replace("203.0.113.7", "203.0.113.8")
    old = signed(key, now - 400)
    for path, body, refused in (
        ("/register", changed, 400),
        ("/register", old, 400),
        ("/unregister", call, 400),
        ("/status", call, 401),
    ):
        status, answer = curl(f"{url}{path}", *post, body)
        assert (status, answer["success"]) == (refused, False)
    status, envelopes = curl(f"{url}/secrets", *post, signed(key, now + 1))
    assert (status, set(envelopes)) == (200, {"env_s3_enc", "env_gcs_enc", "env_blob_enc"})
    assert decrypted(key, tmp_path, envelopes["env_s3_enc"]) == b""


def decrypted(key: Path, directory: Path, envelope: str) -> bytes:
    """As the vendor's script does it."""
    parts = {name: base64.b64decode(value) for name, value in json.loads(envelope).items()}
    (directory / "wrapped").write_bytes(parts["key"])
    choices = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")
    oaep = [word for choice in choices for word in ("-pkeyopt", choice)]
    wrapped = str(directory / "wrapped")
    aes = run("openssl", "pkeyutl", "-decrypt", "-inkey", str(key), "-in", wrapped, *oaep)
    mac = run(
        "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{aes.hex()}", given=parts["iv"] + parts["ct"]
    )
    assert mac.decode().split()[-1] == parts["mac"].hex()
    return run("openssl", "enc", "-d", "-aes-256-ctr", "-K", aes.hex(), "-iv", parts["iv"].hex(), given=parts["ct"])


def test_routes_that_are_none_are_refused_in_the_common_form(url: str) -> None:
    assert curl(f"{url}/nothing") == (404, {"success": False, "message": "No such route"})
    assert curl("-X", "PUT", f"{url}/register")[0] == 405


async def test_a_database_of_another_schema_is_not_served(
    database_url: str, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # nothing is served
    masterkey.make(tmp_path)
    settings = PlatformSettings(state_directory=tmp_path, database=SecretStr(database_url), port=0)
    with pytest.raises(migrations.WrongSchema):
        await serve(settings, stop=asyncio.Event())
