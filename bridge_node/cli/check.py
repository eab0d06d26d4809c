"""`bridge-node check`: is the configuration right, and does everything that it names answer?"""

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli import tables
from bridge_node.cli.certificates import Certificate, expiry, own_certificates
from bridge_node.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, Timeout
from bridge_node.cli.outcomes import Exit, load_or_exit

if TYPE_CHECKING:
    from bridge_node.cli.reaching import Reached
    from bridge_node.configuration import Configuration
    from bridge_node.settings import Settings

_EXITS = {"unreachable": Exit.UNREACHABLE, "refused": Exit.REFUSED, "failed": Exit.FAILED}
"""What a place that is not well makes of the whole; the first that occurs counts."""


def check(
    config: ConfigFile = DEFAULT_CONFIG,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also reach every bucket, and compare clocks and certificates.")
    ] = False,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Check a configuration, and with --connect everything that it names.

    Names all problems at once. Changes nothing, and may run beside a running node.

    Exit codes: 0 all is well, 1 something failed, 2 the configuration cannot be used, 3 a backend cannot be reached,
    4 a backend refuses us.
    """
    configuration = load_or_exit(config, as_json=as_json)
    certificates = own_certificates(configuration.settings)
    reached = _reach(configuration.settings, timeout) if connect else []
    if as_json:
        typer.echo(json.dumps(_plain(configuration, certificates, reached), indent=2, ensure_ascii=False))
    else:
        _print(configuration, certificates, reached)
    raise typer.Exit(_exit_code(certificates, reached))


def _reach(settings: "Settings", timeout: float) -> "list[Reached]":
    from bridge_node.cli.reaching import Place, reach
    from bridge_node.standalone import backend_specs

    specs = backend_specs(settings)
    places = [
        Place(name, specs[backend], bucket)
        for name, repository in settings.repositories.items()
        for backend, bucket in (
            *((bucket.backend, bucket.bucket) for bucket in repository.buckets),
            *((account, None) for account in repository.accounts),
        )
    ]
    return asyncio.run(reach(places, timeout))


def _exit_code(certificates: Sequence[Certificate], reached: "Sequence[Reached]") -> Exit:
    states = {one.state for one in reached}
    if any(certificate.days <= 0 for certificate in certificates):
        states.add("failed")
    return next((code for state, code in _EXITS.items() if state in states), Exit.OK)


# for people


def _print(configuration: "Configuration", certificates: Sequence[Certificate], reached: "Sequence[Reached]") -> None:
    from bridge_node.configuration.checks import remarks
    from bridge_node.configuration.problems import dotted

    typer.echo(f"The configuration is valid: {_summary(configuration.settings)}.")
    for remark in remarks(configuration.settings):
        typer.echo(f"Note: {dotted(remark.path)}: {remark.message}")
    tables.show(["certificate", "expires"], [(one.file, expiry(one.days)) for one in certificates])
    headings = ["repository", "bucket", "backend", "state", "latency", "clock", "certificate", "detail"]
    tables.show(headings, list(map(_row, reached)))
    if reached:
        well = sum(one.state == "ok" for one in reached)
        typer.echo(f"\n{well} of {len(reached)} answer as they should.")


def _summary(settings: "Settings") -> str:
    repositories = settings.repositories.values()
    counts = {
        "listener": len(settings.gateway.listeners),
        "backend": len(settings.backends),
        "repository": len(repositories),
        "bucket": sum(len(repository.buckets) for repository in repositories),
        "account": sum(len(repository.accounts) for repository in repositories),
        "key": sum(len(repository.keys) for repository in repositories),
    }
    return ", ".join(f"{count} {_plural(noun, count)}" for noun, count in counts.items() if count)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else "repositories" if noun == "repository" else f"{noun}s"


def _row(one: "Reached") -> tuple[str, ...]:
    clock, days = one.server.clock_seconds, one.server.certificate_days
    return (
        one.place.repository,
        "(whole account)" if one.place.bucket is None else one.place.bucket,
        one.place.backend.name,
        one.state,
        f"{one.seconds * 1000:.0f} ms",
        "" if clock is None else f"{clock:+.0f} s" if abs(clock) >= 1 else "same",
        "" if days is None else expiry(days),
        one.detail,
    )


# for programs


def _plain(
    configuration: "Configuration", certificates: Sequence[Certificate], reached: "Sequence[Reached]"
) -> dict[str, object]:
    from bridge_node.configuration.checks import remarks
    from bridge_node.configuration.problems import dotted

    return {
        "ok": _exit_code(certificates, reached) is Exit.OK,
        "notes": [{"key": dotted(note.path), "message": note.message} for note in remarks(configuration.settings)],
        "certificates": [{"file": one.file, "days": round(one.days, 1)} for one in certificates],
        "places": [
            {
                "repository": one.place.repository,
                "bucket": one.place.bucket,
                "backend": one.place.backend.name,
                "state": one.state,
                "latency_ms": round(one.seconds * 1000, 1),
                "clock_seconds": one.server.clock_seconds,
                "certificate_days": one.server.certificate_days,
                "detail": one.detail,
            }
            for one in reached
        ],
    }
