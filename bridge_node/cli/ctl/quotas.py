"""`bridge-node ctl quota`: what the organisation has of what is limited."""

import typer

from bridge_node.cli.ctl import output
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

_COLUMNS: output.Columns = {
    "what": lambda one: one["capability"]["description"],
    "used": lambda one: one["usage"]["current"],
    "of": lambda one: one["usage"]["max"],
}


def quota(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show how much of each quota is used."""
    with connected(ctx) as client:
        output.items(client.get("/user/quota")["quotaUsage"], _COLUMNS, as_json=as_json)
