"""The record file that is an object: a small head in JSON, and behind it the bytes or the list of data files.

A record is written once and never changed. Its two checksums find what a disk has damaged: rather no answer than a
wrong one.

    "BN01"  head's size  body's size  head's CRC32C  body's CRC32C      (4 bytes each, big-endian)
    head    JSON: everything in ObjectInfo, and which form the body has
    body    the object's bytes; or JSON: its data files, one for each part
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c

from bridge_node.errors import BackendMisbehaved
from bridge_node.objects import NO_HEADERS, Checksum, ObjectInfo, Part

INLINE_LIMIT = 64 * 1024
"""Objects up to this size, in bytes, lie in their record: one file, one rename, one read."""

PREFIX = struct.Struct(">4sIIII")
_MAGIC = b"BN01"
_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class DataFile:
    """Where the bytes of an object, or of one of its parts, lie: a file in `data`, never changed once it is named."""

    name: str
    part: Part

    @property
    def size(self) -> int:
        return self.part.size


@dataclass(frozen=True, slots=True)
class Record:
    """An object. Either `inline` holds its bytes, or `files` say where they are."""

    info: ObjectInfo
    inline: bytes = b""
    files: tuple[DataFile, ...] = ()
    upload: str = ""
    """Handle of the upload that it came from."""

    @property
    def part_sizes(self) -> Sequence[int]:
        """Sizes of the parts that it was uploaded in, if it was."""
        return [file.size for file in self.files] if self.info.part_count else ()


def encode(record: Record) -> bytes:
    """The whole record file."""
    info = record.info
    head: dict[str, object] = {
        "key": info.key,
        "size": info.size,
        "etag": info.etag,
        "time": info.last_modified,
        "pin": info.pin,
    }
    optional = {
        "content": dict(info.content),
        "metadata": dict(info.metadata),
        "checksum": encode_checksum(info.checksum),
        "part_count": info.part_count,
        "files": len(record.files),
        "upload": record.upload,
    }
    head |= {name: value for name, value in optional.items() if value}
    data = _encode(head).encode()
    body = _encode([encode_file(file) for file in record.files]).encode() if record.files else record.inline
    crcs = google_crc32c.value(data), google_crc32c.value(body)
    return PREFIX.pack(_MAGIC, len(data), len(body), *crcs) + data + body


@dataclass(frozen=True, slots=True)
class Head:
    """A record's beginning, read and checked: enough to tell what the object is."""

    fields: Mapping[str, Any]
    body_start: int
    body_stop: int
    body_crc: int

    def info(self, key: str) -> ObjectInfo:
        """Raises BackendMisbehaved where the record is another key's."""
        fields = self.fields
        if fields["key"] != key:
            raise damaged()
        return ObjectInfo(
            key,
            fields["size"],
            fields["etag"],
            fields["time"],
            fields["pin"],
            fields.get("content", NO_HEADERS),
            fields.get("metadata", NO_HEADERS),
            checksum=decode_checksum(fields["checksum"]) if "checksum" in fields else None,
            part_count=fields.get("part_count"),
        )


def read_head(data: memoryview) -> Head | None:
    """The head of the record that begins with `data`, or None where `data` does not hold all of it.

    Raises BackendMisbehaved when it is damaged.
    """
    if len(data) < PREFIX.size:
        return None
    magic, head_size, body_size, head_crc, body_crc = PREFIX.unpack_from(data)
    start = PREFIX.size + head_size
    if magic != _MAGIC:
        raise damaged()
    if len(data) < start:
        return None
    head = bytes(data[PREFIX.size : start])
    if google_crc32c.value(head) != head_crc:
        raise damaged()
    return Head(_decode(head.decode())[0], start, start + body_size, body_crc)


def read_record(key: str, head: Head, data: memoryview) -> Record:
    """The record that `data` is, all of it; raises BackendMisbehaved when it is damaged or cut short."""
    body = bytes(data[head.body_start : head.body_stop])
    if len(body) != head.body_stop - head.body_start or google_crc32c.value(body) != head.body_crc:
        raise damaged()
    info = head.info(key)
    upload = head.fields.get("upload", "")
    if not head.fields.get("files"):
        return Record(info, body, upload=upload)
    return Record(info, files=tuple(decode_file(fields) for fields in json.loads(body)), upload=upload)


def damaged() -> BackendMisbehaved:
    return BackendMisbehaved(reason="record_damaged")


def encode_file(file: DataFile) -> list[object]:
    part = file.part
    return [file.name, part.number, part.size, part.etag, part.last_modified, encode_checksum(part.checksum)]


def decode_file(fields: Sequence[Any]) -> DataFile:
    name, number, size, etag, last_modified, checksum = fields
    return DataFile(name, Part(number, size, etag, last_modified, decode_checksum(checksum) if checksum else None))


def encode_checksum(checksum: Checksum | None) -> list[object] | None:
    return [checksum.algorithm, checksum.value, checksum.composite] if checksum else None


def decode_checksum(fields: Sequence[Any]) -> Checksum:
    return Checksum(*fields)
