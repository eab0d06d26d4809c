"""The file of a backup: lines of JSON, compressed by gzip.

A heading; for each table its name and columns, then its rows by the hundred; at the end the number of rows and the
SHA-256 of every line before. A file without a right end is no backup, however much of it can be read.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_MAKER = "bridge-node platform"
_FORMAT = 1
_COMPRESSION = 3
"""Beyond it, time grows sooner than the file shrinks."""


class BadBackup(Exception):
    """The file is no backup, is damaged or cut off, or is of a newer version. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Heading:
    """`schema`: the revision of the tables. `version`: of the program. `made_at`: ISO 8601."""

    schema: str
    version: str
    made_at: str


@dataclass(frozen=True, slots=True)
class TableBegins:
    name: str
    columns: tuple[str, ...]


Rows = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a whole file has: rows by table."""

    heading: Heading
    rows: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Writer:
    """Writes to `file`, line by line. Without `finish` there is no backup."""

    def __init__(self, file: BinaryIO, heading: Heading) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_COMPRESSION, mtime=0, filename="")
        self._digest = hashlib.sha256()
        self._rows = 0
        named = {"schema": heading.schema, "version": heading.version, "made_at": heading.made_at}
        self._line({"backup": _MAKER, "format": _FORMAT, **named})

    def table(self, name: str, columns: Sequence[str]) -> None:
        self._line({"table": name, "columns": list(columns)})

    def rows(self, rows: Sequence[Sequence[Any]]) -> None:
        self._rows += len(rows)
        self._line(rows)

    def finish(self) -> None:
        self._zip.write(_encoded({"rows": self._rows, "sha256": self._digest.hexdigest()}))
        self._zip.close()

    def _line(self, content: Any) -> None:
        line = _encoded(content)
        self._digest.update(line)
        self._zip.write(line)


def _encoded(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def heading_of(path: Path) -> Heading:
    """Raises BadBackup and OSError."""
    with gzip.open(path, "rb") as lines:
        return _heading(_next(lines))


def contents(path: Path) -> Iterator[TableBegins | Rows]:
    """Everything after the heading, in its order. Raises BadBackup, at the latest after the last row."""
    digest, counted = hashlib.sha256(), 0
    with gzip.open(path, "rb") as lines:
        line = _next(lines)
        _heading(line)
        while True:
            digest.update(line)
            line = _next(lines)
            match _decoded(line):
                case list(rows):
                    counted += len(rows)
                    yield rows
                case {"table": str(name), "columns": list(columns)}:
                    yield TableBegins(name, tuple(columns))
                case {"rows": told, "sha256": sealed}:
                    break
                case _:
                    raise BadBackup("is damaged")
        if (told, sealed) != (counted, digest.hexdigest()) or _rest(lines):
            raise BadBackup("is damaged: it does not have what its end says")


def verified(path: Path) -> Summary:
    """Reads the whole file. Raises BadBackup and OSError."""
    heading, rows, name = heading_of(path), dict[str, int](), ""
    for part in contents(path):
        if isinstance(part, TableBegins):
            name = part.name
            rows[name] = 0
        else:
            rows[name] = rows.get(name, 0) + len(part)
    return Summary(heading, rows)


def _heading(line: bytes) -> Heading:
    match _decoded(line):
        case {"backup": maker, "format": number} if maker == _MAKER and number != _FORMAT:
            raise BadBackup(f"has format {number}, which a newer version made")
        case {"backup": maker, "schema": str(schema), "version": str(version), "made_at": str(made_at)} if (
            maker == _MAKER
        ):
            return Heading(schema, version, made_at)
    raise BadBackup("is no backup of a platform")


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BadBackup("is damaged") from error


def _next(lines: gzip.GzipFile) -> bytes:
    line = _read(lines)
    if not line.endswith(b"\n"):
        raise BadBackup("is cut off")
    return line


def _rest(lines: gzip.GzipFile) -> bytes:
    """Reading on to the end has gzip compare its own checksum, too."""
    return _read(lines)


def _read(lines: gzip.GzipFile) -> bytes:
    try:
        return lines.readline()
    except gzip.BadGzipFile as error:
        raise BadBackup("is damaged, or no backup of a platform") from error
    except EOFError as error:
        raise BadBackup("is cut off") from error
    except zlib.error as error:
        raise BadBackup("is damaged") from error
