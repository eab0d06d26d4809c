"""The command `bridge-node`: one file per command, which imports what it needs only when it is called."""

from typing import Annotated

import typer

from bridge_node.cli import backups, config, ctl, key, node, platform
from bridge_node.cli.check import check
from bridge_node.cli.demo import demo
from bridge_node.cli.healthcheck import healthcheck
from bridge_node.cli.outcomes import EXIT_CODES
from bridge_node.cli.run import run as run_node
from bridge_node.cli.status import status
from bridge_node.cli.version import version

NAME = "bridge-node"

app = typer.Typer(
    name=NAME,
    help="A storage gateway: S3 clients reach the buckets behind it with a repository's own access keys.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
platform.app.command()(backups.backup)
platform.app.command()(backups.restore)
app.command()(demo)
app.command("run")(run_node)
app.command()(check)
app.add_typer(config.app, name="config")
app.add_typer(key.app, name="key")
app.add_typer(node.app, name="node")
app.add_typer(platform.app, name="platform")
app.add_typer(ctl.app, name="ctl")
app.command()(status)
app.command()(healthcheck)
app.command()(version)


def _show_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


def run() -> None:
    """Entry point."""
    app(prog_name=NAME)
