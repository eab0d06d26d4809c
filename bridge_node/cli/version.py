"""`bridge-node version`."""

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import typer

from bridge_node.cli.options import AsJson


def version(as_json: AsJson = False) -> None:
    """Print the versions of the node, Python and the system."""
    facts = {"bridge_node": own_version(), "python": platform.python_version(), "system": platform.platform()}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        typer.echo(f"bridge-node {facts['bridge_node']} (Python {facts['python']}, {facts['system']})")


def own_version() -> str:
    """The version that is installed; `0+source` for a source tree that is not."""
    try:
        return installed_version("bridge-node")
    except PackageNotFoundError:
        return "0+source"
