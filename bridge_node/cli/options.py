"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("/etc/bridge-node/bridge-node.toml")

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        dir_okay=False,
        help="Configuration file; conf.d/*.toml beside it and BRIDGE_NODE__ variables are read too.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AdminHost = Annotated[
    str, typer.Option("--host", envvar="BRIDGE_NODE__ADMIN__HOST", help="Address of the node's admin port.")
]
AdminPort = Annotated[
    int, typer.Option("--port", envvar="BRIDGE_NODE__ADMIN__PORT", min=1, max=65535, help="The admin port.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Longest time to wait.")]
