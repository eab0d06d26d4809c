"""`bridge-node ctl orgkey`: the organisation's keys, with which nodes enrol."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bridge_node.cli.ctl import output
from bridge_node.cli.ctl.client import place
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.session import complaints, connected, session_of
from bridge_node.cli.options import AsJson
from bridge_node.cli.outcomes import Exit, complain

app = typer.Typer(no_args_is_help=True, help="The organisation's keys, with which nodes enrol.")

_COLUMNS: output.Columns = {
    "id": "id",
    "created": "createdAt",
    "nodes": lambda one: ", ".join(link["nodeId"] for link in one["nodeKeys"]),
}


@app.command("list")
def list_keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the organisation's keys, and the nodes that came with each."""
    path = _place(ctx)
    with connected(ctx) as client:
        output.items(client.get(path)["data"], _COLUMNS, as_json=as_json)


@app.command()
def create(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", dir_okay=False, help="Write the private key there, mode 0600."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its private half is written this one time; the platform does not keep it."""
    path = _place(ctx)
    descriptor = None if file is None else _new_file(file)
    try:
        with connected(ctx) as client:
            private = client.post(path)
    except BaseException:
        if file is not None:
            file.unlink()
        raise
    if descriptor is None:
        output.done({"privateKey": private}, private.rstrip("\n"), as_json=as_json)
        return
    with os.fdopen(descriptor, "w") as opened:
        opened.write(private)
    output.done({"file": str(file)}, f"The private key is in {file}.", as_json=as_json)


@app.command()
def delete(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="Its id.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every key of the organisation.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a key: no node enrols with it any more. Those that did stay."""
    if bool(key) is every:
        raise complain("say which key, or --all", Exit.CONFIGURATION)
    path = _place(ctx) + (place(key) if key else "")
    with connected(ctx) as client:
        output.confirm("Delete every key of the organisation?" if every else f"Delete organisation key {key}?", yes=yes)
        answer = client.delete(path)
    output.done(answer, f"{answer['message']}.", as_json=as_json)


def _place(ctx: typer.Context) -> str:
    with complaints():
        return place("organization", session_of(ctx).organisation(), "key")


def _new_file(file: Path) -> int:
    """Before the key is made: one that cannot be kept is lost."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise complain(f"{file}: {error.strerror}", Exit.CONFIGURATION) from None
