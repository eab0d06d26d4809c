"""What supervisor and workers say to each other, over a socket pair that the worker inherits.

A frame is a length (4 bytes, big-endian), the version of these messages (1 byte) and a JSON object
`{"type": class, …fields}`. Values keep their types on the way: whoever receives gets the same frozen dataclasses,
checked field by field, because one end of the channel parses what strangers send and the other one holds every secret.
"""

import asyncio
import base64
import contextlib
import json
import socket
import struct
import types
import typing
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Literal, Self

from pydantic import BaseModel, SecretStr

from bridge_node.catalog import Catalog
from bridge_node.settings import Settings

VERSION = 3
"""Raised with every change of a message: a worker of newer code then refuses an older supervisor in one clear line."""
MAX_FRAME = 256 * 1024 * 1024
_HEAD = struct.Struct("!IB")


class ChannelError(Exception):
    """The other end speaks another version, or no sense."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of everything that crosses the channel."""


# --- from the supervisor -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start(Message):
    """The first message: all that a worker needs to serve.

    `settings` carry no backends and no repositories: secrets travel in the catalog alone. `sockets` are inherited
    descriptors, one per listener of the settings and in their order; `counters` and `traffic` are the shared memory to
    count in. `journal_stream` is for `telemetry.logging`.
    """

    slot: int
    settings: Settings
    catalog: Catalog
    sockets: tuple[int, ...]
    counters: int
    traffic: int
    journal_stream: str = ""


@dataclass(frozen=True, slots=True)
class Update(Message):
    """A new catalog, to be put in force at once and answered by `Applied`."""

    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Take no more connections, finish what runs within `limit` seconds, and exit with 0."""

    limit: float


@dataclass(frozen=True, slots=True)
class ReopenLogs(Message):
    """The access log's file was moved away: open it anew."""


# --- from a worker -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """The worker listens and serves catalog `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """Sent every second by the worker's event loop: it turns."""


@dataclass(frozen=True, slots=True)
class Applied(Message):
    """Every request that begins from now on sees catalog `version`."""

    version: int


MESSAGES: Mapping[str, type[Message]] = {
    kind.__name__: kind for kind in (Start, Update, Drain, ReopenLogs, Ready, Heartbeat, Applied)
}


class Channel:
    """One end of the channel. Messages arrive in the order in which they were sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Takes over one end of a stream socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def post(self, message: Message) -> None:
        """Sends without waiting. A channel whose other end is gone swallows the message."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def send(self, message: Message) -> None:
        """Like `post`, and waits until the other end has room for more."""
        self.post(message)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message, or None when the other end is gone. Raises ChannelError."""
        try:
            size, version = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if version != VERSION or size > MAX_FRAME:
                raise ChannelError(f"the other process speaks version {version}, this one {VERSION}: restart the node")
            return decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.receive()) is not None:
            yield message

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def encode(message: Message) -> bytes:
    """The whole frame of a message."""
    data = json.dumps({"type": type(message).__name__, **_fields(message)}, separators=(",", ":")).encode()
    return _HEAD.pack(len(data), VERSION) + data


def decode(data: bytes) -> Message:
    """The message of a frame without its head. Raises ChannelError."""
    try:
        document = json.loads(data)
        return typing.cast("Message", _value(MESSAGES[document.pop("type")], document))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The document may hold secrets, so neither it nor what pydantic says about it is repeated.
        raise ChannelError(f"a message that cannot be read ({type(error).__name__})") from None


def _fields(value: object) -> dict[str, object]:
    given = (field.name for field in fields(typing.cast("Message", value)) if field.init)
    return {name: _plain(getattr(value, name)) for name in given}


def _plain(value: object) -> object:  # noqa: PLR0911 - one line per type
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bytes():
            return base64.b64encode(value).decode()
        case Enum():
            return value.value
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return _fields(value) if is_dataclass(value) else value


@cache
def _hints(kind: type) -> Mapping[str, typing.Any]:
    """The type of each field that makes a value of the dataclass `kind`."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def _field(kind: type, name: str, data: typing.Any) -> typing.Any:
    if name not in data:
        raise ChannelError(f"{kind.__name__} comes without {name}: the processes run different code, restart the node")
    return data[name]


def _value(kind: typing.Any, data: typing.Any) -> object:
    """`data` as a value of the annotated type `kind`; raises TypeError, ValueError or KeyError when it is none."""
    match typing.get_origin(kind):
        case types.UnionType:
            (other,) = (argument for argument in typing.get_args(kind) if argument is not types.NoneType)
            return None if data is None else _value(other, data)
        case origin if origin in (tuple, frozenset):
            return origin(_value(typing.get_args(kind)[0], item) for item in data)
        case origin if origin is Mapping:
            return {key: _value(typing.get_args(kind)[1], item) for key, item in data.items()}
        case origin if origin is Literal:
            return typing.get_args(kind)[typing.get_args(kind).index(data)]
        case _:
            return _single(kind, data)


def _single(kind: type, data: typing.Any) -> object:
    if is_dataclass(kind):
        return kind(**{name: _value(hint, _field(kind, name, data)) for name, hint in _hints(kind).items()})
    if issubclass(kind, BaseModel):
        return kind.model_validate(data)
    if issubclass(kind, bytes):
        return base64.b64decode(data, validate=True)
    if issubclass(kind, Enum | SecretStr):
        return kind(data)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise TypeError(kind.__name__)
    return data
