"""`bridge-node ctl node`: the nodes of the organisation."""

from typing import Annotated

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.client import Client, place
from bridge_node.cli.ctl.finding import Item
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.session import complaints, connected, session_of
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Nodes of the organisation.")

Node = Annotated[str, typer.Argument(metavar="NODE", help="Its name (`ip`) or id.")]

_COLUMNS: output.Columns = {
    "node": "ip",
    "id": "id",
    "region": "region",
    "version": "version",
    "status": "status",
    "enrolment": "enrolment",
    "url": "url",
    "heard of": "lastUpdated",
}


@app.command("list")
def list_nodes(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the organisation's nodes, and public ones."""
    with connected(ctx) as client:
        output.items(client.get("/node")["data"], _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, node: Node, as_json: AsJson = False) -> None:
    """Show a node."""
    with connected(ctx) as client:
        output.item(_node(client, node), _COLUMNS, as_json=as_json)


@app.command()
def approve(ctx: typer.Context, node: Node, as_json: AsJson = False) -> None:
    """Let a node work whose enrolment waits for an administrator."""
    path = _place(ctx)
    with connected(ctx) as client:
        answer = client.post(path + place(_node(client, node)["id"], "approve"))
    output.done(answer, f"Node {node} may work.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, node: Node, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a node: it erases what it was given, and serves nothing any more."""
    path = _place(ctx)
    with connected(ctx) as client:
        found = _node(client, node)
        output.confirm(f"Delete node {node}?", yes=yes)
        answer = client.delete(path + place(found["id"]))
    output.done(answer, f"Node {node} is deleted.", as_json=as_json)


def _place(ctx: typer.Context) -> str:
    with complaints():
        return place("organization", session_of(ctx).organisation(), "node")


def _node(client: Client, wanted: str) -> Item:
    return finding.one("node", wanted, client.get("/node")["data"], "ip")
