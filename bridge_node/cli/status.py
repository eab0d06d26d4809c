"""`bridge-node status`: how a running node is."""

import http.client
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import typer

from bridge_node.cli import admin_port, tables
from bridge_node.cli.options import AdminHost, AdminPort, AsJson, Timeout
from bridge_node.cli.outcomes import Exit, complain


def status(
    host: AdminHost = "127.0.0.1", port: AdminPort = 9090, as_json: AsJson = False, timeout: Timeout = 5.0
) -> None:
    """Ask a running node how it is: version, readiness, workers, backends.

    Exit codes: 0 it is ready, 1 it is not, 3 nobody answers.
    """
    try:
        code, text = admin_port.get(host, port, "/status", timeout)
        answer = json.loads(text) if code == 200 else None
    except (OSError, http.client.HTTPException) as error:
        raise complain(f"no node answers at {host}:{port}: {error}", Exit.UNREACHABLE) from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise complain(f"what answers at {host}:{port} is no bridge node's admin port", Exit.FAILED)
    if as_json:
        typer.echo(text, nl=False)
    else:
        _print(answer)
    raise typer.Exit(Exit.OK if answer["ready"] else Exit.FAILED)


def _print(answer: Mapping[str, Any]) -> None:
    """`answer` is what `admin.Reporter.status` gives."""
    started = datetime.fromtimestamp(answer["started"], UTC)
    typer.echo(f"bridge-node {answer['version']}, up {_duration((datetime.now(UTC) - started).total_seconds())}")
    typer.echo("ready" if answer["ready"] else f"not ready: {'; '.join(answer['missing'])}")
    typer.echo()
    tables.show(
        ["worker", "process", "state", "restarts"],
        [(str(one["slot"]), str(one["pid"]), one["state"], str(one["restarts"])) for one in answer["workers"]],
    )
    if answer["backends"]:
        typer.echo()
        tables.show(
            ["backend", "state", "latency", ""],
            [(one["name"], one["state"], f"{one['latency_ms']:.0f} ms", one["reason"]) for one in answer["backends"]],
        )


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
