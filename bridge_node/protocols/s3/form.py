"""The body of a browser's form upload: fields first, then one file (RFC 7578).

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge_node.body import ByteSource, BytesSource, read_all
from bridge_node.errors import (
    IncompleteBody,
    InvalidArgument,
    InvalidRequest,
    MalformedFraming,
    MissingLength,
    PreconditionFailed,
)
from bridge_node.protocols.s3.holding import HoldingSource

MAX_FIELDS = 20 * 1024
"""Bytes of a form before its file."""
SMALL_FILE = 256 * 1024
"""Bytes from the file's first to the form's end that may be read ahead to find where the file ends."""

_BCHARS = r"0-9A-Za-z'()+_,\-./:=?"
_BOUNDARY = re.compile(
    rf';\s*boundary=(?:"([{_BCHARS} ]{{0,69}}[{_BCHARS}])"|([{_BCHARS}]{{1,70}}))\s*(?:;|$)', re.IGNORECASE
)
_DISPOSITION = re.compile(rb"content-disposition:[ \t]*form-data[ \t]*((?:;.*)?)", re.IGNORECASE)
_PARAMETER = re.compile(rb'[ \t]*;[ \t]*([A-Za-z*]{1,32})=(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*))')
_NOT_EXPANDED = frozenset({"policy", "x-amz-signature"})


@dataclass(frozen=True, slots=True)
class Form:
    """The fields before the file (lower-case names, `${filename}` filled in) and the file itself.

    `file.size` counts on the file being the last part of the form; reading it raises MalformedFraming when it is not.
    `settled` knows better about small files. `filename` is without its path; None when the client named none, and then
    `${filename}` stays, as on S3. Values may hold any character: what becomes a header must be checked first.
    """

    fields: Mapping[str, str]
    filename: str | None
    file: "FormFile"

    async def settled(self) -> tuple[ByteSource, int]:
        """The file and its true size. Fields behind it, which S3 ignores, are allowed behind a small one only:
        a large one is passed on before its end is seen, and must have a known size by then."""
        if self.file.expected <= SMALL_FILE:
            data = await self.file.whole()
            return BytesSource(data), len(data)
        return self.file, self.file.expected

    def key(self) -> str:
        """The field `key`; raises InvalidArgument without one."""
        key = self.fields.get("key")
        if not key:
            raise missing_field("key")
        return key


def missing_field(name: str) -> InvalidArgument:
    """S3's answer to a form without one of the fields that it needs."""
    return InvalidArgument(
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.",
        reason="form_without_field",
        ArgumentName=name,
        ArgumentValue="",
    )


async def read_form(source: ByteSource, content_type: str, max_fields: int = MAX_FIELDS) -> Form:
    """Reads up to the first byte of the file, at most `max_fields` bytes.

    Raises MissingLength, PreconditionFailed (no form at all), MalformedFraming, IncompleteBody or InvalidRequest.
    """
    if source.size is None:
        raise MissingLength
    delimiter = b"\r\n--" + _boundary(content_type)
    # The first delimiter has no line before it; a line break that is not there makes it like the others.
    reader = _Reader(source, max_fields, b"\r\n")
    fields: dict[str, str] = {}
    if await reader.until(delimiter) not in {b"", b"\r\n"}:
        raise _malformed()
    while await reader.until(b"\r\n") == b"":
        name, filename = _named(await reader.until(b"\r\n\r\n"))
        if name == "file":
            closing = delimiter + b"--\r\n"
            size = source.size - reader.position - len(closing)
            if size < 0:
                raise IncompleteBody(reason="form_ends_early")
            return Form(_expanded(fields, filename), filename, FormFile(reader.rest(), size, delimiter, closing))
        value = _text(await reader.until(delimiter))
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    raise InvalidRequest("POST requires exactly one file upload per request.", reason="form_without_file")


def _boundary(content_type: str) -> bytes:
    if not content_type.lower().startswith("multipart/form-data"):
        raise PreconditionFailed(Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    match = _BOUNDARY.search(content_type)
    if not match:
        raise _malformed()
    return (match[1] or match[2]).encode()


def _named(headers: bytes) -> tuple[str, str | None]:
    """Name, in lower case, and file name of a part."""
    for line in headers.split(b"\r\n"):
        disposition = _DISPOSITION.fullmatch(line)
        if disposition:
            parameters = _parameters(disposition[1])
            if b"name" in parameters:
                filename = parameters.get(b"filename")
                name = _text(parameters[b"name"]).lower()
                return name, None if filename is None else re.split(r"[/\\]", _text(filename))[-1]
    raise _malformed()


def _parameters(text: bytes) -> dict[bytes, bytes]:
    parameters: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if not match or match[1].lower() in parameters:
            raise _malformed()
        # Only quotes are escaped: a backslash is a separator in the file names of some browsers.
        parameters[match[1].lower()] = match[3] if match[2] is None else match[2].replace(b'\\"', b'"')
        position = match.end()
    return parameters


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed() from error


def _expanded(fields: Mapping[str, str], filename: str | None) -> Mapping[str, str]:
    if filename is None:
        return fields
    return {
        name: value if name in _NOT_EXPANDED else value.replace("${filename}", filename)
        for name, value in fields.items()
    }


def _malformed(reason: str = "malformed_form") -> MalformedFraming:
    return MalformedFraming("The body of your POST request is not well-formed multipart/form-data.", reason=reason)


class _Reader:
    """Reads a source up to marks, within a limit. `before` stands before its first byte."""

    def __init__(self, source: ByteSource, limit: int, before: bytes) -> None:
        self._source = source
        self._buffer = before
        self._taken = 0
        self._before = len(before)
        self._limit = limit + self._before

    @property
    def position(self) -> int:
        """Bytes of the source that were taken."""
        return self._taken - self._before

    async def until(self, mark: bytes) -> bytes:
        """What stands before the next `mark`; both are taken."""
        begin = start = self._taken
        while (end := self._buffer.find(mark, start)) < 0:
            self._bound(len(self._buffer))
            start = max(begin, len(self._buffer) - len(mark) + 1)
            data = await self._source.read()
            if not data:
                raise IncompleteBody(reason="form_ends_early")
            self._buffer += data
        self._bound(end)
        self._taken = end + len(mark)
        return self._buffer[begin:end]

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise MalformedFraming(
                "Your POST request fields preceding the upload file were too large.", reason="form_fields_too_large"
            )

    def rest(self) -> ByteSource:
        """Everything behind what was taken."""
        return _Rest(self._buffer[self._taken :], self._source)


class _Rest:
    """A source of which some bytes were read already."""

    def __init__(self, buffered: bytes, source: ByteSource) -> None:
        self._buffered = buffered
        self._source = source
        self.size: int | None = None
        self.started = True

    def read_nowait(self) -> bytes | None:
        if self._buffered:
            data, self._buffered = self._buffered, b""
            return data
        return self._source.read_nowait()

    async def read(self) -> bytes:
        data = self.read_nowait()
        return await self._source.read() if data is None else data

    def abort(self, error: BaseException) -> None:
        self._buffered = b""
        self._source.abort(error)


class FormFile(HoldingSource):
    """The file: `expected` bytes without a delimiter in them, and then the closing delimiter with nothing behind it."""

    def __init__(self, source: ByteSource, expected: int, delimiter: bytes, closing: bytes) -> None:
        super().__init__(source, expected)
        self.expected = expected
        self._left = expected
        self._delimiter = delimiter
        self._closing = closing
        self._carried = b""
        self._behind = b""

    async def whole(self) -> bytes:
        """Everything up to the delimiter, whatever follows it. Only instead of reading the source."""
        most = self.expected + len(self._closing)
        rest = await read_all(self._source, most, self._not_last())
        end = rest.find(self._delimiter)
        follows = rest[end + len(self._delimiter) :][:2]
        if end < 0 or follows not in {b"--", b"\r\n"}:
            raise IncompleteBody(reason="form_ends_early") if end < 0 else self._not_last()
        return rest[:end]

    def _pass(self, data: bytes) -> bytes:
        file = data[: self._left]
        self._left -= len(file)
        self._behind += data[len(file) :]
        overlap = len(self._delimiter) - 1
        if self._delimiter in file or self._delimiter in self._carried + file[:overlap]:
            raise self._not_last()
        self._carried = (file if len(file) >= overlap else self._carried + file)[-overlap:]
        if len(self._behind) > len(self._closing):
            raise self._not_last()
        return file

    def _check(self) -> None:
        if self._left or self._behind != self._closing:
            raise self._not_last()

    def _not_last(self) -> MalformedFraming:
        return MalformedFraming("The file must be the last field of the form.", reason="malformed_form")
