"""`bridge-node version`."""

import json
import platform

import typer

from bridge_node.cli.options import AsJson
from bridge_node.version import running_version


def version(as_json: AsJson = False) -> None:
    """Print the versions of the node, Python and the system."""
    facts = {"bridge_node": running_version(), "python": platform.python_version(), "system": platform.platform()}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        typer.echo(f"bridge-node {facts['bridge_node']} (Python {facts['python']}, {facts['system']})")
