"""The demo's platform: what an operator does by `bridge-node platform bootstrap`, `apply`, `token` and `serve`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge_node.agent.identity import IdentityStore
from bridge_node.cli.demo.directory import ROOTS, CannotPrepare, Directory, Facts
from bridge_node.cli.demo.node import BUCKET, REGION
from bridge_node.cli.demo.ports import HOST, OpenPorts
from bridge_node.configuration import load_settings
from bridge_node.platform import orgkeys
from bridge_node.platform.apply import CannotApply, apply, program
from bridge_node.platform.bootstrap import ADMINISTRATOR, Bootstrapped, Wanted, bootstrap, make_master_key
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.errors import PlatformError
from bridge_node.platform.program import PLATFORM
from bridge_node.platform.serve import serve
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import buckets, repokeys, repositories
from bridge_node.platform.tokens import token_of
from bridge_node.settings import Platform as NodesPlatform

NAME = "Demo"
TOKEN_SECONDS = 30 * 86400.0
SANDBOX = "sandbox"

_CONFIGURATION = """\
# Written by `bridge-node demo`, anew at each start.
host = "{host}"
port = {port}
state_directory = {state}
allow_private_endpoints = true  # buckets may be at addresses of this machine
local_roots = {roots}

[log]
level = "warning"
"""

_DECLARED = """\
# Written by `bridge-node demo`, anew at each start. With a file of your own,
# `bridge-node platform apply FILE --config platform.toml` adds to what is here.
organisation = "{name}"
workspace = "{name}"

# One bucket, and a key that may read and write it.
[buckets.demo]
storage_type = "LOCAL"
root = "demo"
bucket = "{bucket}"

[repositories.demo]
buckets = [{{ bucket = "demo" }}]
keys = {{ first = {{ access = "WRITE" }} }}

# A whole account, and a key that may make and drop buckets there.
[provider_keys.sandbox]
provider = "LOCAL"
root = "sandbox"

[repositories.sandbox]
accounts = [{{ provider_key = "sandbox" }}]
keys = {{ first = {{ access = "ADMIN" }} }}
"""


def configure(directory: Directory, opened: OpenPorts) -> PlatformSettings:
    """Writes what the platform is configured by, and reads it as the platform does."""
    text = _CONFIGURATION.format(
        host=HOST,
        port=opened.platform_url.rpartition(":")[2],
        state=json.dumps(str(directory.platform_state)),
        roots=json.dumps(ROOTS),
    )
    directory.write(directory.platform_config, text)
    directory.write(directory.repositories, _DECLARED.format(name=NAME, bucket=BUCKET))
    return load_settings(PLATFORM, directory.platform_config, {})


async def prepare(directory: Directory, settings: PlatformSettings, opened: OpenPorts) -> tuple[Facts, str]:
    """Everything that a node needs to enrol and to serve; what is there already stays as it is.

    Gives the facts, and the id of the bucket. Raises CannotPrepare where what is there contradicts.
    """
    make_master_key(settings)
    made = await bootstrap(settings, Wanted(NAME, NAME))
    declared = load_settings(program(settings), directory.repositories, {})
    platform = assemble(settings)
    try:
        await apply(platform, declared)
        await _organisation_key(platform, made, directory, opened)
        (repo_id, first), (_, admin) = [await _opened_by(platform, made, name) for name in (BUCKET, SANDBOX)]
        bucket_id = await _bucket_id(platform, made)
    except (CannotApply, PlatformError) as error:
        raise CannotPrepare(f"{directory.platform_state}: {error}") from error
    finally:
        await platform.database.close()
    facts = Facts(
        s3_endpoint=opened.s3_url,
        access_key=first[0],
        secret_key=first[1],
        bucket=BUCKET,
        region=REGION,
        admin_access_key=admin[0],
        admin_secret_key=admin[1],
        node_admin_url=opened.admin_url,
        platform_url=opened.platform_url,
        admin_token=await token_of(settings, ADMINISTRATOR, TOKEN_SECONDS),
        org_id=made.organisation_id,
        workspace_id=made.workspace_id,
        repo_id=repo_id,
    )
    return facts, bucket_id


async def _organisation_key(platform: Platform, made: Bootstrapped, directory: Directory, opened: OpenPorts) -> None:
    """A node that has enrolled at this address works without it, so one that was deleted stays so."""
    place = NodesPlatform(url=opened.platform_url, organisation=made.organisation_id)
    if directory.organisation_key.exists() or IdentityStore(directory.node_state).enrolment(place):
        return
    directory.write(directory.organisation_key, await orgkeys.create(platform, made.organisation_id))


async def _opened_by(platform: Platform, made: Bootstrapped, name: str) -> tuple[str, tuple[str, str]]:
    """The id of a repository, and the key that `apply` made for it."""
    async with platform.database.reading() as connection:
        found = await repositories.of(connection, made.organisation_id)
        repository = next(one for one in found if one.name == name)
        keys = await repokeys.of(connection, repository.id)
    key = next(one for one in keys if one.name == "first")
    return repository.id, (key.key, key.verifier(platform.vault))


async def _bucket_id(platform: Platform, made: Bootstrapped) -> str:
    async with platform.database.reading() as connection:
        found = await buckets.of(connection, made.organisation_id)
    return next(one.id for one in found if one.name == BUCKET)


@asynccontextmanager
async def serving(settings: PlatformSettings, opened: OpenPorts) -> AsyncIterator[None]:
    """The platform answers inside the block."""
    answers, ending = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        served = serve(settings, stop=ending, listening=opened.platform, on_ready=lambda url: answers.set())
        group.create_task(served, name="platform")
        await answers.wait()
        yield
        ending.set()
