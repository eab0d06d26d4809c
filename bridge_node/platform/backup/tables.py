"""The tables of a database as they are, of whichever version made them, and their values as JSON has them."""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import JSON, Column, LargeBinary, MetaData, Table
from sqlalchemy.engine import Connection

from bridge_node.platform import migrations

Conversion = Callable[[Any], Any]


def found(connection: Connection) -> list[Table]:
    """In an order in which rows come after those that they refer to; without what migrations keep for themselves."""
    metadata = MetaData()
    metadata.reflect(connection)
    tables = [table for table in metadata.sorted_tables if table.name != migrations.TABLE]
    for table in tables:
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return tables


def plain(columns: Iterable[Column[Any]], rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Rows of the database as JSON has them: bytes become base64."""
    return _converted([_to_text if isinstance(column.type, LargeBinary) else None for column in columns], rows)


def stored(columns: Iterable[Column[Any]], rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The way back."""
    return _converted([_to_bytes if isinstance(column.type, LargeBinary) else None for column in columns], rows)


def _converted(conversions: Sequence[Conversion | None], rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    here = [(index, convert) for index, convert in enumerate(conversions) if convert is not None]
    converted = [list(row) for row in rows]
    for row in converted:
        for index, convert in here:
            row[index] = convert(row[index])
    return converted


def _to_text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _to_bytes(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value, validate=True)
