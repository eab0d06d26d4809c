"""`bridge-node ctl apply`: the file of `bridge-node platform apply`, from anywhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_node.cli import applied
from bridge_node.cli.ctl.session import connected, session_of
from bridge_node.cli.outcomes import Exit, complain, show_problems

if TYPE_CHECKING:
    from bridge_node.configuration.checks import Finding
    from bridge_node.platform.apply import Declaration


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="TOML: provider_keys, buckets, repositories.")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is in the workspace and not in the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Send the secrets of what is there already, too: they cannot be compared.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Make a workspace what a file says: its provider keys, buckets, repositories and access keys.

    May be repeated: what is as the file says is left alone, and so is what the file leaves out. Changes are made one
    after the other; the platform may refuse one, and then those before it stay. The secrets of new access keys are
    printed this one time.

    Exit codes: 0 done, 1 failed, 2 the file or the profile, 3 the platform cannot be reached, 4 it refuses.
    """
    from bridge_node.cli.ctl.reconciling import Wishes, reconcile
    from bridge_node.platform.apply import CannotApply, Outcome

    declared = _read(file)
    outcome = Outcome()
    with connected(ctx) as client:
        organisation = session_of(ctx).organisation() if declared.organisation else ""
        try:
            reconcile(client, organisation, declared, Wishes(prune, dry_run, secrets), outcome)
        except BaseException as error:
            if outcome.changed:  # new secrets are told even when the platform refuses what follows
                applied.show(outcome, dry_run=dry_run, as_json=as_json)
            if isinstance(error, CannotApply):
                raise complain(f"{file}: {error}", Exit.REFUSED) from None
            raise
    applied.show(outcome, dry_run=dry_run, as_json=as_json)


def _read(file: Path) -> "Declaration":
    from bridge_node.configuration import ConfigurationError, load_settings
    from bridge_node.configuration.program import Program
    from bridge_node.platform.apply import Declaration

    if not file.exists():
        raise complain(f"{file}: there is no such file", Exit.CONFIGURATION)
    try:
        return load_settings(Program(Declaration, "", _check), file, os.environ)
    except ConfigurationError as error:
        show_problems(error.problems)
        raise typer.Exit(Exit.CONFIGURATION) from None


def _check(declared: "Declaration") -> Iterator["Finding"]:
    """What holds on every platform; its own rules it tells itself."""
    from bridge_node.platform.apply.declaration import check
    from bridge_node.platform.settings import PlatformSettings

    roots = {one.root for one in declared.provider_keys.values()} | {one.root for one in declared.buckets.values()}
    yield from check(PlatformSettings(allow_private_endpoints=True, local_roots=tuple(roots - {""})), declared)
