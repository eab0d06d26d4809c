"""What the files beside this one share: statements, and rows made into values."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Value = TypeVar("Value")


def insert(connection: AsyncConnection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT: in both databases the same words."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def made(kind: type[Value], row: Row[Any]) -> Value:
    """A dataclass with the columns of a row."""
    return kind(**row._mapping)  # noqa: SLF001 - its public name begins with a line, so that no column has it


def among(connection: AsyncConnection, wanted: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column has one of these values. To PostgreSQL they are one array, so it is always one statement."""
    if connection.dialect.name == "postgresql":
        return wanted == any_(literal(list(values), postgresql.ARRAY(wanted.type)))
    return wanted.in_(values)


class Upsert:
    """Inserts rows by the thousand, or changes those whose primary key is there.

    `changes` makes the new values of the row that was not inserted; `only` says of it whether it changes anything.
    """

    def __init__(
        self,
        table: Table,
        changes: Callable[[Any], Mapping[str, Any]],
        only: Callable[[Any], ColumnElement[bool]] | None = None,
    ) -> None:
        self._table = table
        self._changes = changes
        self._only = only
        self._names = [column.name for column in table.columns]
        self._statements: dict[str, Any] = {}

    async def put(self, connection: AsyncConnection, rows: Sequence[Sequence[Any]]) -> None:
        """`rows` hold the table's columns in order, and no primary key twice.

        They go to PostgreSQL as one array for each column, in one statement: nearly as fast as COPY, which knows no
        conflicts. The arrays are written here: SQLAlchemy and the driver would take each value in hand several times.
        """
        if not rows:
            return
        statement = self._statement(connection)
        if connection.dialect.name == "postgresql":
            columns = zip(self._table.columns, zip(*rows, strict=True), strict=True)
            arrays = {one.name: _array(values, texts=isinstance(one.type, Text)) for one, values in columns}
            await connection.exec_driver_sql(statement.string, tuple(arrays[name] for name in statement.positiontup))
        else:
            await connection.execute(statement, [dict(zip(self._names, row, strict=True)) for row in rows])

    def _statement(self, connection: AsyncConnection) -> Any:
        """Made once: that takes longer than to run it. For PostgreSQL it is the compiled one."""
        dialect = connection.dialect
        if dialect.name not in self._statements:
            statement = insert(connection, self._table)
            if dialect.name == "postgresql":
                statement = statement.from_select(self._names, _unnested(self._table, written=True))
            upsert = statement.on_conflict_do_update(
                index_elements=[column.name for column in self._table.primary_key],
                set_=self._changes(statement.excluded),
                where=self._only(statement.excluded) if self._only else None,
            )
            self._statements[dialect.name] = upsert.compile(dialect=dialect) if dialect.name == "postgresql" else upsert
        return self._statements[dialect.name]


class Newcomers:
    """Inserts rows by the hundred, those whose primary key is not there yet, and tells which these were."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._names = [column.name for column in table.columns]
        self._from_arrays = (
            postgresql.insert(table)
            .from_select(self._names, _unnested(table))
            .on_conflict_do_nothing()
            .returning(*table.primary_key)
        )

    async def put(self, connection: AsyncConnection, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The primary keys of the new ones. `rows` hold the table's columns in order."""
        if connection.dialect.name == "postgresql":
            arrays = map(list, zip(*rows, strict=True))
            found = await connection.execute(self._from_arrays, dict(zip(self._names, arrays, strict=True)))
        else:
            values = [dict(zip(self._names, row, strict=True)) for row in rows]
            statement = sqlite.insert(self._table).values(values).on_conflict_do_nothing()
            found = await connection.execute(statement.returning(*self._table.primary_key))
        return [tuple(row) for row in found]


def _unnested(table: Table, *, written: bool = False) -> Select[Any]:
    """`SELECT * FROM unnest($1::text[], $2::bigint[], …)`; with `written`, of what `_array` makes."""
    arrays = [_parameter(one.name, postgresql.ARRAY(one.type), written) for one in table.columns]
    columns = (column(one.name, one.type) for one in table.columns)
    return select(func.unnest(*arrays).table_valued(*columns).render_derived(name="given"))


def _parameter(name: str, array: Any, written: bool) -> ColumnElement[Any]:
    return cast(bindparam(name, type_=Text()), array) if written else bindparam(name, type_=array)


def _array(values: Sequence[Any], *, texts: bool) -> str:
    """An array as PostgreSQL reads it: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    if not texts:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{joined}"}}'
