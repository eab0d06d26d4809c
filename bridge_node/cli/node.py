"""`bridge-node node`: how a node becomes one of a platform's, and what it no longer needs afterwards."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli.options import DEFAULT_CONFIG, ConfigFile
from bridge_node.cli.outcomes import Exit, complain, load_or_exit

if TYPE_CHECKING:
    from bridge_node.agent.registration import Registered
    from bridge_node.configuration import Configuration
    from bridge_node.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make this node known to its platform.")

KEY = ("platform", "organisation_key")


@app.command()
def enrol(
    config: ConfigFile = DEFAULT_CONFIG,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="The organisation's private key, if it is not configured."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget the keys that the platform showed before, and trust new ones.")
    ] = False,
) -> None:
    """Enrol this node with its platform, with the organisation's key.

    A node does so by itself when it starts; this tells at once how it went, and takes the key from a file that the
    node need not keep.

    Exit codes: 0 enrolled, 1 waiting for approval, 2 the configuration, 3 nobody answers, 4 refused.
    """
    from bridge_node.agent.client import PlatformAway, PlatformRefused
    from bridge_node.agent.identity import IdentityError
    from bridge_node.agent.registration import NoKey, NotBelieved

    settings = _with_key(load_or_exit(config).settings, key)
    if not settings.platform.url:
        raise complain("platform.url is not set: this node belongs to no platform", Exit.CONFIGURATION)
    try:
        found = _enrolled(settings, anew=anew)
    except NoKey:
        raise complain("to enrol takes the organisation's key: --key FILE", Exit.CONFIGURATION) from None
    except (IdentityError, OSError) as error:
        raise complain(error, Exit.FAILED) from None
    except PlatformAway as error:
        raise complain(f"{settings.platform.url}: {error}", Exit.UNREACHABLE) from None
    except (PlatformRefused, NotBelieved) as error:
        raise complain(f"{settings.platform.url}: {error}", Exit.REFUSED) from None
    _tell(found)


@app.command()
def forget_org_key(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Delete the organisation's key from this node, which no longer needs it once it has enrolled.

    Deletes the file that platform.organisation_key names; the setting may stay, a file that is gone means no key.
    """
    from bridge_node.agent.identity import IdentityError, IdentityStore

    loaded = load_or_exit(config)
    settings = loaded.settings
    try:
        enrolled = IdentityStore(settings.state_directory).load(settings.platform)[1]
    except (IdentityError, OSError) as error:
        raise complain(error, Exit.FAILED) from None
    if enrolled is None:
        raise complain("this node has not enrolled yet: without the key it never could", Exit.REFUSED)
    path = _key_file(loaded, config)
    if settings.platform.organisation_key is None:
        typer.echo("this node does not have the organisation's key")
        return
    if path is None:
        raise complain("platform.organisation_key is not in a file: take it out of the configuration", Exit.REFUSED)
    try:
        path.unlink()
    except OSError as error:
        raise complain(f"{path}: {error.strerror}", Exit.FAILED) from None
    typer.echo(f"deleted {path}; the node goes on with its own keys")


def _with_key(settings: "Settings", key: Path | None) -> "Settings":
    from pydantic import SecretStr

    if key is None:
        return settings
    try:
        secret = SecretStr(key.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise complain(f"{key} cannot be read: {error}", Exit.CONFIGURATION) from None
    platform = settings.platform.model_copy(update={"organisation_key": secret})
    return settings.model_copy(update={"platform": platform})


def _enrolled(settings: "Settings", *, anew: bool) -> "Registered":
    from bridge_node.agent.client import PlatformClient
    from bridge_node.agent.identity import IdentityStore, pinned_by_operator
    from bridge_node.agent.registration import Registrar

    platform, store = settings.platform, IdentityStore(settings.state_directory)
    identity, enrolment = store.load(platform)
    if identity.organisation_key is not None and anew:
        enrolment = None
    pinned = pinned_by_operator(platform.platform_keys) if platform.platform_keys else {}
    registrar = Registrar(identity, enrolment, platform.url, pinned, store, retry_limit=platform.retry_limit)

    async def once() -> "Registered":
        timeout, ca_file = platform.call_timeout, platform.ca_file
        async with PlatformClient(platform.url, identity.version, timeout=timeout, ca_file=ca_file) as client:
            return await registrar.register(client)

    return asyncio.run(once())


def _tell(found: "Registered") -> None:
    if found.waiting:
        raise complain("waiting: an administrator of the organisation has to approve this node", Exit.FAILED)
    if found.enrolment is None:
        typer.echo("registered; this platform knows only the contract, so the node keeps the organisation's key")
        return
    typer.echo(f"enrolled as {found.enrolment.node} of {found.enrolment.organisation or 'no organisation'}")
    for thumbprint in found.enrolment.keys:
        typer.echo(f"platform key {thumbprint}")


def _key_file(loaded: "Configuration", config: Path) -> Path | None:
    written = loaded.written(KEY)
    match written:
        case {"file": str(path)}:
            return config.absolute().parent / path
        case _:
            return None
