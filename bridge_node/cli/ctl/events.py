"""`bridge-node ctl event`: who changed what."""

from typing import Annotated

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.options import OfWorkspace
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Who changed what.")

_COLUMNS: output.Columns = {
    "when": "timestamp",
    "what": "context",
    "event": "event",
    "id": "contextId",
    "who": "userEmail",
    "details": "jsonData",
}


@app.command("list")
def list_events(
    ctx: typer.Context,
    workspace: OfWorkspace = "",
    subject: Annotated[str, typer.Option("--of", metavar="ID", help="Only of what has this id.")] = "",
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="ISO 8601 date or date-time, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="DATE", help="ISO 8601; a date is all of it.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many, newest first.")] = 50,
    skip: Annotated[int, typer.Option("--skip", min=0, help="How many newer ones to leave out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List events, newest first."""
    with connected(ctx) as client:
        body = {
            "workspaceId": finding.maybe_workspace(client, workspace),
            "contextId": subject or None,
            "from_timestamp": start or None,
            "to_timestamp": end or None,
            "take": most,
            "skip": skip,
        }
        found = client.post("/systemevent", body)["events"]
    output.items(found, _COLUMNS, as_json=as_json)
