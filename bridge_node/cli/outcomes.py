"""How commands end: exit codes that scripts and service managers can rely on, and one clear line for each problem."""

import json
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bridge_node.configuration import Configuration, Problem


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    UNREACHABLE = 3
    REFUSED = 4


EXIT_CODES = "Exit codes: 0 ok, 1 failed, 2 configuration or usage, 3 unreachable, 4 refused."


def complain(message: object, code: Exit) -> typer.Exit:
    """One line on standard error; raise what this returns."""
    typer.echo(f"bridge-node: {message}", err=True)
    return typer.Exit(code)


def nobody_answers(host: str, port: int, error: Exception) -> typer.Exit:
    """There is no admin port where one was sought."""
    hint = "--host and --port name another admin port"
    return complain(f"no node answers at {host}:{port}: {error} ({hint})", Exit.UNREACHABLE)


def load_or_exit(config: Path, *, as_json: bool = False) -> "Configuration":
    """The configuration; when it cannot be used, names every problem and ends the command with code 2."""
    from bridge_node.configuration import ConfigurationError, load

    try:
        return load(config, os.environ)
    except ConfigurationError as error:
        show_problems(error.problems, as_json=as_json)
        raise typer.Exit(Exit.CONFIGURATION) from None


def show_problems(problems: "Sequence[Problem]", *, as_json: bool = False) -> None:
    if as_json:
        listed = [{"origin": one.origin, "key": one.key, "message": one.message} for one in problems]
        typer.echo(json.dumps({"ok": False, "problems": listed}, indent=2, ensure_ascii=False))
        return
    for problem in problems:
        typer.echo(str(problem), err=True)
    found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    typer.echo(f"bridge-node: {found} in the configuration", err=True)
