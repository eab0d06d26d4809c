"""Tables for people: drawn on a terminal, plain columns elsewhere."""

import sys
from collections.abc import Sequence
from itertools import compress

import typer

_COLOURS = {
    "ok": "green",
    "ready": "green",
    "reachable": "green",
    "unreachable": "red",
    "refused": "red",
    "failed": "red",
}


def show(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows below their headings on standard output, after an empty line; nothing when there are none.

    A column that is empty in every row is left out.
    """
    if not rows:
        return
    told = [any(column) for column in zip(*rows, strict=True)]
    headings, *rows = [list(compress(row, told)) for row in (headings, *rows)]
    typer.echo()
    if sys.stdout.isatty():
        _draw(headings, rows)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings)
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)
