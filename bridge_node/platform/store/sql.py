"""What the files beside this one share: statements, and rows made into values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row, Select, Table, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Value = TypeVar("Value")


def insert(connection: AsyncConnection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT: in both databases the same words."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def made(kind: type[Value], row: Row[Any]) -> Value:
    """A dataclass with the columns of a row."""
    return kind(**row._mapping)  # noqa: SLF001 - its public name begins with a line, so that no column has it


async def put_many(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Sequence[Any]],
    changes: Callable[[Any], Mapping[str, Any]],
    where: Callable[[Any], Any] | None = None,
) -> None:
    """Inserts rows, or changes those whose primary key is there: `changes` are made of the row that was not inserted.

    `rows` hold the table's columns in order, and no key twice. They go to PostgreSQL as one array for each column, in
    one statement: nearly as fast as COPY, which knows no conflicts.
    """
    if not rows:
        return
    statement = insert(connection, table)
    names = [column.name for column in table.columns][: len(rows[0])]
    if connection.dialect.name == "postgresql":
        statement = statement.from_select(names, _unnested(table, names))
    statement = statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_=changes(statement.excluded),
        where=where(statement.excluded) if where else None,
    )
    if connection.dialect.name == "postgresql":
        await connection.execute(statement, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    else:
        await connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def _unnested(table: Table, names: Sequence[str]) -> Select[Any]:
    """`SELECT * FROM unnest($1::text[], $2::bigint[], …)`"""
    types = {name: table.c[name].type for name in names}
    arrays = [bindparam(name, type_=postgresql.ARRAY(kind)) for name, kind in types.items()]
    source = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in types.items()))
    return select(source.render_derived(name="given"))
