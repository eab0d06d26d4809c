"""`bridge-node status`: how a running node is."""

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from bridge_node.cli import admin_port, tables
from bridge_node.cli.certificates import expiry
from bridge_node.cli.options import AdminHost, AdminPort, AsJson, Timeout
from bridge_node.cli.outcomes import Exit, complain, nobody_answers


def status(
    host: AdminHost = "127.0.0.1", port: AdminPort = 9090, as_json: AsJson = False, timeout: Timeout = 5.0
) -> None:
    """Ask a running node how it is: version, readiness, workers, backends.

    Exit codes: 0 it is ready, 1 it is not, 3 nobody answers.
    """
    answer, missing = _ask(host, port, timeout)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _print(answer, missing)
    raise typer.Exit(Exit.OK if answer["ready"] else Exit.FAILED)


def _ask(host: str, port: int, timeout: float) -> tuple[Mapping[str, Any], list[str]]:
    """The answer of `/status`, and what readiness misses."""
    try:
        code, text = admin_port.get(host, port, "/status", timeout)
        answer = json.loads(text) if code == 200 else None
        missing = admin_port.missing(admin_port.get(host, port, "/readyz?verbose", timeout)[1])
    except (OSError, http.client.HTTPException) as error:
        raise nobody_answers(host, port, error) from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "ready" not in answer:
        raise complain(f"what answers at {host}:{port} is no bridge node's admin port", Exit.FAILED)
    return answer, missing


def _print(answer: Mapping[str, Any], missing: Sequence[str]) -> None:
    """`answer` is what `admin.Reporter.status` gives."""
    typer.echo(f"bridge-node {answer['version']}, process {answer['pid']}, up {_duration(answer['uptime_seconds'])}")
    typer.echo("ready" if answer["ready"] else f"not ready: {'; '.join(missing)}")
    typer.echo(f"serving {', '.join(answer['listeners'])}")
    if platform := answer["platform"]:
        typer.echo(f"platform: {platform['registration']} as {platform['node']}, {_configuration(platform)}")
    workers, backends, certificates = answer["workers"], answer["backends"], answer["certificates"]
    tables.show(
        ["worker", "process", "state", "up"],
        [(str(one["slot"]), str(one["pid"]), one["state"], _duration(one["uptime_seconds"])) for one in workers],
    )
    tables.show(["backend", "state", "latency", "reason"], [_backend(name, one) for name, one in backends.items()])
    tables.show(["certificate", "expires"], [(name, expiry(days)) for name, days in certificates.items()])


def _configuration(platform: Mapping[str, Any]) -> str:
    waiting = platform["spool_batches"]
    return f"configuration {platform['configuration']}, {waiting} {'report' if waiting == 1 else 'reports'} to be sent"


def _backend(name: str, health: Mapping[str, Any]) -> tuple[str, ...]:
    state = "reachable" if health["reachable"] else "unreachable"
    return name, state, f"{health['seconds'] * 1000:.0f} ms", health["reason"].replace("_", " ")


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
