"""`bridge-node platform backup` and `restore`: a whole database in one file, and back."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli.outcomes import Exit, complain
from bridge_node.cli.platform import DEFAULT_CONFIG, ConfigFile, complaints, settings_of

if TYPE_CHECKING:
    from bridge_node.platform.backup import Summary
    from bridge_node.platform.database import Database
    from bridge_node.platform.settings import PlatformSettings

Progress = Callable[[str, int], None]

PATIENCE_SECONDS = 24 * 3600.0
"""For one statement: a table is read by one, however large it is."""


def backup(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write it; mode 0600.")],
    config: ConfigFile = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Write everything that the database holds to a file, while platforms serve.

    Secrets are in it as they are stored, sealed under the master key, which this needs not and the file does not
    contain: keep a copy of it elsewhere. The file can be restored to SQLite and PostgreSQL alike.

    Exit codes: 0 done, 1 failed, 2 the configuration cannot be used, 3 the database cannot be reached, 4 FILE exists.
    """
    settings = settings_of(config)
    if file.exists() and not force:
        raise complain(f"{file} exists; --force replaces it", Exit.REFUSED)
    from bridge_node.platform.backup import backup as backing_up

    with complaints(), _progress("backup") as progress:
        done = asyncio.run(_with_database(settings, lambda database: backing_up(database, file, progress)))
    typer.echo(f"{file}: {done.total} rows of {len(done.rows)} tables, schema {done.heading.schema}")


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `platform backup` wrote.")],
    config: ConfigFile = DEFAULT_CONFIG,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what is in the database, if there is anything.")
    ] = False,
) -> None:
    """Fill an empty database from a backup, and bring its schema up to date. Stop all platforms before.

    A file that is damaged, cut off, or of a newer version is refused before anything is written. What was revoked
    after the backup was made is valid again: look at the keys.

    Exit codes: 0 done, 1 the file is not whole or something failed, 2 the configuration cannot be used, 3 the database
    cannot be reached, 4 the database is not empty.
    """
    settings = settings_of(config)
    from bridge_node.platform.backup import BadBackup, NotEmpty
    from bridge_node.platform.backup import restore as restoring

    with complaints(), _progress("restore") as progress:
        try:
            done = asyncio.run(
                _with_database(settings, lambda database: restoring(database, file, replace=replace, progress=progress))
            )
        except BadBackup as error:
            raise complain(f"{file} {error}; nothing was changed", Exit.FAILED) from None
        except NotEmpty as error:
            raise complain(f"{error}; --replace deletes it", Exit.REFUSED) from None
    typer.echo(f"{done.total} rows of {len(done.rows)} tables, as they were at {done.heading.made_at}")


async def _with_database(settings: "PlatformSettings", work: "Callable[[Database], Awaitable[Summary]]") -> "Summary":
    from bridge_node.platform import migrations
    from bridge_node.platform.database import Database

    settings.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    impatient = Database.open(settings.database_url, connections=1)
    try:
        await migrations.revision(impatient)  # a database that does not answer is told soon
    finally:
        await impatient.close()
    database = Database.open(settings.database_url, connections=2, statement_seconds=PATIENCE_SECONDS)
    try:
        return await work(database)
    finally:
        await database.close()


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """Shown on a terminal, to people, and nowhere else."""
    if not sys.stderr.isatty():
        yield lambda table, rows: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed} rows"))
    with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda table, rows: bar.update(task, advance=rows, description=f"{what} {table}")
