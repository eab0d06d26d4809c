"""Rows for every table of a database, whatever its version: values by the types that the database itself names."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    select,
)
from sqlalchemy.engine import Connection

from bridge_node.platform.migrations import TABLE

LARGE = 2**53 + 1
"""More than a float can hold, and a multiple of nothing."""


def tables_of(connection: Connection) -> list[Table]:
    """As this version made them; rows come after those that they refer to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != TABLE]


def fill(connection: Connection, tables: Sequence[Table], number: int) -> None:
    """A row of each table; rows of one number refer to each other. Of even ones, what may be null is null."""
    for table in tables:
        connection.execute(table.insert().values({column: _value(column, number) for column in table.columns}))


def rows_of(connection: Connection, table: Table) -> set[str]:
    """By the columns that `table` knows, whatever else there is by now."""
    return {repr(tuple(row)) for row in connection.execute(select(table))}


def _value(column: Column[Any], number: int) -> Any:
    if column.nullable and number % 2 == 0:
        return None
    for reference in column.foreign_keys:
        return f"{reference.column.table.name}-{number}"
    return _of_type(column, number)


def _of_type(column: Column[Any], number: int) -> Any:
    named = "" if column.name == "id" else " 'ü' \\N"
    values = {
        Boolean: number % 3 == 0,
        SmallInteger: number,
        BigInteger: number if column.name == "id" else LARGE + number,
        Integer: number,
        Float: number + 0.1,
        LargeBinary: bytes([0, 255, number]),
        JSON: {"number": number, "texts": ["ü\n", None, ""]},
        Text: f"{column.table.name if column.name == 'id' else column.name}-{number}{named}",
    }
    return next(value for kind, value in values.items() if isinstance(column.type, kind))
