"""What commands print: tables for people; for scripts one JSON document on standard output, and nothing else."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from bridge_node.cli import tables
from bridge_node.cli.outcomes import Exit, complain

Columns = Mapping[str, str | Callable[[Any], object]]
"""By their headings: the field of an item, or what is made of it."""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def items(found: Sequence[Any], columns: Columns, *, as_json: bool) -> None:
    """A list of things."""
    if as_json:
        document(found)
    elif found:
        tables.show(list(columns), [[_cell(item, column) for column in columns.values()] for item in found])
    else:
        typer.echo("Nothing.")


def item(found: Mapping[str, Any], columns: Columns, *, as_json: bool) -> None:
    """One thing, a line for each of its columns."""
    if as_json:
        document(found)
        return
    cells = [(heading, _cell(found, column)) for heading, column in columns.items()]
    width = max(map(len, columns))
    for heading, cell in cells:
        if cell:
            typer.echo(f"{heading.ljust(width)}  {cell}")


def done(answer: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """What was changed: the platform's answer, or a sentence."""
    if as_json:
        document(answer)
    else:
        typer.echo(text)


def document(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def confirm(question: str, *, yes: bool) -> None:
    """Asks a person; ends the command unless they agree. Scripts say --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise complain(f"{question} Nobody can be asked here: --yes", Exit.CONFIGURATION)
    typer.confirm(question, abort=True, err=True)


def _cell(found: Any, column: str | Callable[[Any], object]) -> str:
    value = found.get(column) if isinstance(column, str) else column(found)
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Names are other people's; none moves the cursor here."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
