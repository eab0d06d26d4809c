"""`bridge-node demo`: the whole product on loopback, with its configuration, keys and data made up for you.

Everything lies in one directory (`directory.py`), at ports that nobody else has (`ports.py`): an ordinary platform
(`platform.py`) and an ordinary node (`node.py`), and what is told of them (`console.py`). Starting again finds the
keys, ports, ids and data of the last time there.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli.demo.directory import CannotPrepare, Directory
from bridge_node.cli.outcomes import Exit, complain

if TYPE_CHECKING:
    from bridge_node.cli.demo.ports import OpenPorts

DEFAULT_STATE = Path("bridge-node-demo")


def demo(
    state: Annotated[
        Path,
        typer.Option("--state", metavar="DIR", file_okay=False, help="Where keys, configuration and data are kept."),
    ] = DEFAULT_STATE,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port for S3 clients, by default that of the last time."),
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="A node alone: its repositories are in its configuration file.")
    ] = False,
) -> None:
    """Run a platform and a node on this machine to try things out: a bucket, a sandbox, and lines to paste.

    What runs where is also in DIR/demo.json. Starting again continues with the same data, keys and ids.
    """
    from bridge_node.cli.platform import complaints
    from bridge_node.daemon import CannotStart

    directory = Directory(state.absolute())
    try:
        with complaints(), directory.held():
            code = _run(directory, port, standalone=standalone)
    except (CannotPrepare, CannotStart) as refusal:
        raise complain(refusal, Exit.FAILED) from None
    raise typer.Exit(code)


def _run(directory: Directory, port: int | None, *, standalone: bool) -> int:
    """The exit code, once everything has ended."""
    from bridge_node import daemon
    from bridge_node.cli.demo import node, ports

    with ports.opened(directory.facts(), port, with_platform=not standalone) as opened:
        node.make_places(directory)
        shown = _alone(directory, opened) if standalone else _together(directory, opened)
        sockets = daemon.Ports([opened.slots], opened.admin)
        code = daemon.run(directory.node_config, _environment(), ports=sockets, around=shown)
    if code == 0:
        typer.echo("\nEnded in good order; the same command continues with the same data, keys and ports.")
    return code


def _alone(directory: Directory, opened: "OpenPorts") -> AbstractAsyncContextManager[None]:
    from bridge_node.cli.demo import console, node

    facts = node.keys_of(directory.facts(), opened)
    directory.write(directory.node_config, node.standalone_configuration(directory, facts))
    return console.telling(directory, facts)


def _together(directory: Directory, opened: "OpenPorts") -> AbstractAsyncContextManager[None]:
    from bridge_node.cli.demo import console, node, platform

    settings = platform.configure(directory, opened)
    facts, bucket_id = asyncio.run(platform.prepare(directory, settings, opened))
    directory.write(directory.node_config, node.fleet_configuration(directory, facts))

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with platform.serving(settings, opened), console.telling(directory, facts, bucket_id):
            yield

    return around()


def _environment() -> dict[str, str]:
    """Without the settings that are there for other nodes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_NODE_")}
