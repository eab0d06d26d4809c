"""`bridge-node healthcheck`: a container's health check without curl."""

import http.client
from typing import Annotated

import typer

from bridge_node.cli import admin_port
from bridge_node.cli.options import AdminHost, AdminPort, Timeout
from bridge_node.cli.outcomes import Exit, complain, nobody_answers


def healthcheck(
    host: AdminHost = "127.0.0.1",
    port: AdminPort = 9090,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it is ready for clients, not only alive.")
    ] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Say by exit code whether the node on this host is alive: 0 yes, 1 no, 3 nobody answers.

    Silent when all is well.
    """
    path = "/readyz?verbose" if ready else "/healthz"
    try:
        status, text = admin_port.get(host, port, path, timeout)
    except (OSError, http.client.HTTPException) as error:
        raise nobody_answers(host, port, error) from None
    if status != 200:
        raise complain("; ".join(admin_port.missing(text)) or f"the admin port answered {status}", Exit.FAILED)
