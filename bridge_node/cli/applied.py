"""What came of a declaration that was applied: by the database or over HTTP, it is told in the same words."""

import json
from typing import TYPE_CHECKING

import typer

from bridge_node.cli import tables

if TYPE_CHECKING:
    from bridge_node.platform.apply import Outcome


def show(outcome: "Outcome", *, dry_run: bool, as_json: bool) -> None:
    """Prints it; the secrets of new keys with it."""
    if as_json:
        typer.echo(json.dumps(_plain(outcome, dry_run=dry_run), indent=2, ensure_ascii=False))
    else:
        _show(outcome, dry_run=dry_run)


def _show(outcome: "Outcome", *, dry_run: bool) -> None:
    tables.show(
        ["change", "what", "name", "detail"],
        [(change.action, change.kind, change.name, change.detail) for change in outcome.changes],
    )
    typer.echo(_summary(outcome, dry_run=dry_run))
    if not outcome.keys:
        return
    typer.echo("\nNew access keys. Their secrets are shown this one time:")
    tables.show(
        ["repository", "key", "access", "access key id", "secret"],
        [
            (
                key.repository,
                key.name,
                key.access,
                key.pair.key,
                "below" if "\n" in key.pair.secret else key.pair.secret,
            )
            for key in outcome.keys
        ],
    )
    for key in outcome.keys:
        if "\n" in key.pair.secret:
            typer.echo(f"\n{key.pair.key}\n{key.pair.secret}", nl=False)


def _summary(outcome: "Outcome", *, dry_run: bool) -> str:
    if not outcome.changed:
        return "Nothing to change."
    number = "1 change" if outcome.changed == 1 else f"{outcome.changed} changes"
    return f"\n{number} would be made." if dry_run else f"\n{number} made."


def _plain(outcome: "Outcome", *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "changes": [
            {"action": change.action, "kind": change.kind, "name": change.name, "detail": change.detail}
            for change in outcome.changes
        ],
        "keys": [
            {
                "repository": key.repository,
                "name": key.name,
                "access": key.access,
                "key": key.pair.key,
                "secret": key.pair.secret,
            }
            for key in outcome.keys
        ],
    }
