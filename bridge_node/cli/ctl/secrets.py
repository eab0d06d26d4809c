"""Where secrets come from: a file, standard input, a variable or a prompt; never an argument, which everybody sees."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge_node.cli.outcomes import Exit, complain

SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        help="Has the secret; `-` is standard input. Without it: BRIDGE_NODE_CTL_SECRET, else you are asked.",
    ),
]
SECRET_VARIABLE = "BRIDGE_NODE_CTL_SECRET"  # noqa: S105 - where it is, not what it is


def needed(what: str, file: Path | None, variable: str) -> str:
    """The secret. Ends the command when nobody tells it."""
    told = given(file, variable)
    if told is None and sys.stdin.isatty():
        told = typer.prompt(what, hide_input=True, err=True)
    if not told:
        raise complain(f"{what} is needed: by a file, by {variable}, or at a terminal", Exit.CONFIGURATION)
    return told


def given(file: Path | None, variable: str) -> str | None:
    """The secret, when a file or variable tells it."""
    if file is None:
        return os.environ.get(variable) or None
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, ValueError) as error:
        raise complain(f"{file}: {getattr(error, 'strerror', None) or 'is no text'}", Exit.CONFIGURATION) from None
    return text.strip() or None
