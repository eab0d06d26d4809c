"""`bridge-node platform`: the control plane, from its first organisation to what it serves."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli import applied, tables
from bridge_node.cli.options import AsJson
from bridge_node.cli.outcomes import Exit, complain, show_problems

if TYPE_CHECKING:
    from bridge_node.platform.apply import Declaration, Outcome
    from bridge_node.platform.settings import PlatformSettings

app = typer.Typer(no_args_is_help=True, help="Run the platform that nodes belong to, and fill it.")

DEFAULT_CONFIG = Path("/etc/bridge-node-platform/platform.toml")
ADMINISTRATOR = "admin@localhost"

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        dir_okay=False,
        help="Configuration file; conf.d/*.toml beside it and BRIDGE_NODE_PLATFORM__ variables are read too.",
    ),
]


@app.command()
def serve(
    config: ConfigFile = DEFAULT_CONFIG,
    migrate: Annotated[bool, typer.Option("--migrate", help="Bring the database's schema up to date before.")] = False,
) -> None:
    """Run the platform in the foreground, until SIGTERM or Ctrl-C stops it.

    Needs a master key and a database with the present schema: `bridge-node platform bootstrap` makes both.

    Exit codes: 0 stopped, 1 something failed, 2 the configuration cannot be used, 3 the database cannot be reached.
    """
    settings = settings_of(config)
    with complaints():
        import uvloop

        from bridge_node.hardening import keep_secrets_in_memory
        from bridge_node.platform.serve import serve as serving
        from bridge_node.telemetry import logging

        logging.configure(settings.log, journal_stream=os.environ.get("JOURNAL_STREAM", ""), process="platform")
        keep_secrets_in_memory()
        uvloop.run(serving(settings, migrate=migrate, on_ready=_tell_where))


def _tell_where(url: str) -> None:
    typer.echo(f"The platform answers at {url}")


@app.command()
def bootstrap(
    config: ConfigFile = DEFAULT_CONFIG,
    organisation: Annotated[str, typer.Option(metavar="NAME", help="The organisation's name.")] = "Main",
    workspace: Annotated[str, typer.Option(metavar="NAME", help="The name of a workspace in it.")] = "Main",
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="Who administrates it.")] = ADMINISTRATOR,
    as_json: AsJson = False,
) -> None:
    """Make what a new platform needs: master key, tables, an organisation, a workspace, an administrator.

    What is there already stays as it is, so this may be run at every start. The master key is made only where the
    configuration names none: back it up, without it no stored secret opens again.
    """
    settings = settings_of(config)
    with complaints():
        from bridge_node.platform.bootstrap import Wanted, make_master_key
        from bridge_node.platform.bootstrap import bootstrap as bootstrapping

        key = make_master_key(settings)
        made = asyncio.run(bootstrapping(settings, Wanted(organisation, workspace, email)))
    ids = {"organisation": made.organisation_id, "workspace": made.workspace_id, "administrator": made.user_id}
    if as_json:
        found = {"org_id": made.organisation_id, "workspace_id": made.workspace_id, "user_id": made.user_id}
        typer.echo(json.dumps({**found, "master_key_file": str(key) if key else None, "new": made.new}, indent=2))
        return
    names = {"organisation": organisation, "workspace": workspace, "administrator": email}
    tables.show(
        ["what", "name", "id", "state"],
        [(what, names[what], ids[what], "new" if what in made.new else "there already") for what in ids],
    )
    if key:
        typer.echo(f"\nThe master key is new: {key}. Back it up; without it no stored secret opens again.")


@app.command()
def token(
    email: Annotated[str, typer.Argument(metavar="[EMAIL]", help="Whose token it is.")] = ADMINISTRATOR,
    config: ConfigFile = DEFAULT_CONFIG,
    hours: Annotated[float, typer.Option(min=0.01, max=8760, help="How long it is valid.")] = 12.0,
) -> None:
    """Print a Bearer token of a user, for calls of the platform's API.

    Nothing is stored. What the token allows is what the user may do at the time of the call.
    """
    settings = settings_of(config)
    if not settings.own_tokens:
        raise complain("own_tokens is false: the platform would not accept it", Exit.CONFIGURATION)
    with complaints():
        from bridge_node.platform.tokens import NoSuchUser, token_of

        try:
            typer.echo(asyncio.run(token_of(settings, email, hours * 3600)))
        except NoSuchUser:
            raise complain(f"there is no user {email}", Exit.FAILED) from None


@app.command()
def migrate(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Bring the database's schema up to date: forward, from any earlier version."""
    settings = settings_of(config)
    with complaints():
        asyncio.run(_migrated(settings))
    typer.echo("The schema is up to date.")


async def _migrated(settings: "PlatformSettings") -> None:
    from bridge_node.platform import migrations
    from bridge_node.platform.database import Database

    database = Database.open(settings.database_url, statement_seconds=migrations.PATIENCE_SECONDS)
    try:
        await migrations.upgrade(database)
    finally:
        await database.close()


@app.command("rotate-key")
def rotate_key(
    config: ConfigFile = DEFAULT_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="Only count what still needs a previous key.")] = False,
) -> None:
    """Wrap every stored secret anew under the present master key, so that its predecessors can be forgotten.

    The configuration names the new key as master_key and the old one in previous_master_keys. May be interrupted and
    run again, while platforms serve and in several processes at once.

    Exit codes: 0 no secret needs a previous key, 1 some still do, 2 the configuration, 3 the database cannot be
    reached.
    """
    settings = settings_of(config)
    with complaints():
        left = asyncio.run(_rotated(settings, check=check))
    if left:
        raise complain(f"{left} secrets still need a previous master key: keep it", Exit.FAILED)
    typer.echo("Every secret is under the present master key: previous_master_keys can be emptied.")


async def _rotated(settings: "PlatformSettings", *, check: bool) -> int:
    from bridge_node.platform import migrations
    from bridge_node.platform.context import assemble
    from bridge_node.platform.rewrapping import outdated, rewrap

    platform = assemble(settings)
    try:
        await migrations.check(platform.database)
        if not check:
            async for progress in rewrap(platform.database, platform.vault):
                unreadable = f", {progress.unreadable} open under no known key" if progress.unreadable else ""
                typer.echo(f"{progress.done} of {progress.total} secrets wrapped anew{unreadable}")
        return await outdated(platform.database, platform.vault)
    finally:
        await platform.database.close()


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="TOML: provider_keys, buckets, repositories.")],
    config: ConfigFile = DEFAULT_CONFIG,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is in the workspace and not in the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a workspace what a file says: its provider keys, buckets, repositories and access keys.

    May be repeated: what is as the file says is left alone. Everything happens, or nothing. Running nodes hear of it
    at once. The secrets of new access keys are printed this one time.

    Exit codes: 0 done, 1 failed, 2 the file or the configuration, 3 the database cannot be reached, 4 the file does
    not fit what is there.
    """
    settings = settings_of(config)
    with complaints():
        from bridge_node.configuration import load_settings
        from bridge_node.platform.apply import CannotApply, program

        declared = load_settings(program(settings), file, os.environ)
        try:
            outcome = asyncio.run(_applied(settings, declared, prune=prune, dry_run=dry_run))
        except CannotApply as error:
            raise complain(f"{file}: {error}; nothing was changed", Exit.REFUSED) from None
    applied.show(outcome, dry_run=dry_run, as_json=as_json)


async def _applied(settings: "PlatformSettings", declared: "Declaration", *, prune: bool, dry_run: bool) -> "Outcome":
    from bridge_node.platform import migrations
    from bridge_node.platform.apply import apply as applying
    from bridge_node.platform.context import assemble

    platform = assemble(settings)
    try:
        await migrations.check(platform.database)
        return await applying(platform, declared, prune=prune, dry_run=dry_run)
    finally:
        await platform.database.close()


@app.command()
def reference() -> None:
    """Print every setting with its default and its meaning: a configuration file to start from."""
    from bridge_node.platform.program import as_toml

    typer.echo(as_toml(), nl=False)


def settings_of(config: Path) -> "PlatformSettings":
    """The settings; ends the command with every problem when they cannot be used."""
    with complaints():
        from bridge_node.configuration import load_settings
        from bridge_node.platform.program import PLATFORM

        return load_settings(PLATFORM, config, os.environ)


@contextmanager
def complaints() -> Iterator[None]:
    """Every foreseen failure as one line and an exit code."""
    from sqlalchemy.exc import DBAPIError

    from bridge_node.configuration import ConfigurationError
    from bridge_node.platform.bootstrap import CannotBootstrap
    from bridge_node.platform.database import DatabaseUnavailable
    from bridge_node.platform.masterkey import NoMasterKey
    from bridge_node.platform.migrations import WrongSchema
    from bridge_node.platform.serve import CannotServe
    from bridge_node.platform.vault import VaultError

    try:
        yield
    except ConfigurationError as error:
        show_problems(error.problems)
        raise typer.Exit(Exit.CONFIGURATION) from None
    except NoMasterKey as error:
        raise complain(error, Exit.CONFIGURATION) from None
    except DatabaseUnavailable as error:
        raise complain(f"the database cannot be reached: {error}", Exit.UNREACHABLE) from None
    except CannotBootstrap as error:
        raise complain(error, Exit.REFUSED) from None
    except WrongSchema as error:
        raise complain(f"{error}; `bridge-node platform migrate` brings it up to date", Exit.FAILED) from None
    except VaultError as error:
        raise complain(f"{error}: is this the master key that it was stored under?", Exit.FAILED) from None
    except DBAPIError as error:
        raise complain(f"the database refuses: {error.orig}", Exit.FAILED) from None
    except (CannotServe, OSError) as error:
        raise complain(error, Exit.FAILED) from None
