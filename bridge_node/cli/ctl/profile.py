"""`bridge-node ctl profile`: several platforms, or several people."""

from typing import Annotated

import typer

from bridge_node.cli.ctl import output, profiles
from bridge_node.cli.ctl.session import complaints, session_of
from bridge_node.cli.options import AsJson
from bridge_node.cli.outcomes import Exit, complain

app = typer.Typer(no_args_is_help=True, help="Platforms that you are logged in at.")

_COLUMNS: output.Columns = {"profile": "name", "platform": "url", "current": "current"}


@app.command("list")
def list_profiles(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the profiles, without their tokens."""
    with complaints():
        kept = profiles.read(session_of(ctx).path)
    found = [
        {"name": name, "url": one.url, "current": name == kept.current} for name, one in sorted(kept.by_name.items())
    ]
    output.items(found, _COLUMNS, as_json=as_json)


@app.command("use")
def use(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The profile.")]) -> None:
    """Make a profile the current one."""
    path = session_of(ctx).path
    with complaints():
        kept = profiles.read(path)
        if name not in kept.by_name:
            raise complain(f"there is no profile {name}", Exit.REFUSED)
        profiles.write(path, kept.with_(name, kept.by_name[name]))
    typer.echo(f"Profile {name} is the current one.")
