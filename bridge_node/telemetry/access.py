"""The access log: one line per request, apart from the node's own log, with presigned parameters redacted.

Lines are kept until the next flush, so that a slow disk never holds up a request: a killed worker loses its last
second of them, and lines beyond `MAX_BUFFERED` bytes are dropped and counted. A batch is written to a file by one
append of whole lines, which lets all workers share the file.
"""

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import structlog

from bridge_node import settings
from bridge_node.telemetry.logging import redact_text
from bridge_node.usage import Usage

MAX_BUFFERED = 8 * 1024 * 1024
PIPE_BUF = 4096
"""Writes to a pipe of up to this many bytes are not mixed with another process's (pipe(7))."""

log = structlog.get_logger()


class Unwritable(Exception):
    """The file of the access log cannot be written; the message is one line for the operator."""


class LoggedRequest(Protocol):
    """What a line says of a request; `gateway.http.Request` is one."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    id: str
    peer: str
    tls: bool
    version: str


class AccessLogFile:
    """Implements the pipeline's AccessLog. `flush` wants to be called every second, `close` at the end."""

    def __init__(self, log: settings.AccessLog, dropped: Callable[[int], None]) -> None:
        self._settings = log
        self._format = FORMATS[log.format]
        self._dropped = dropped
        self._lines: list[bytes] = []
        self._buffered = 0
        self._failing = False
        self._writing = asyncio.Lock()
        self._file = _open(log)

    def write(self, request: LoggedRequest, usage: Usage, error_code: str = "") -> None:
        """Takes the line of one finished request; `error_code` is the protocol's own, empty for success."""
        if self._buffered >= MAX_BUFFERED:
            self._dropped(1)
            return
        line = (self._format(request, usage, error_code, time.time()) + "\n").encode("utf-8", "backslashreplace")
        self._lines.append(line)
        self._buffered += len(line)

    async def flush(self) -> None:
        """Writes what there is, in a thread."""
        async with self._writing:
            if self._lines:
                await asyncio.to_thread(self._write, self._taken())

    async def reopen(self) -> None:
        """Goes on in a file of the same name: the old one was moved away. Where that fails, the old one stays."""
        await self.flush()
        async with self._writing:
            try:
                new = await asyncio.to_thread(_open, self._settings)
            except OSError as error:
                log.error("access_log_not_reopened", reason=error.strerror)
                return
            os.close(self._file)
            self._file = new

    async def close(self) -> None:
        await self.flush()
        os.close(self._file)

    def _taken(self) -> list[bytes]:
        lines, self._lines, self._buffered = self._lines, [], 0
        return lines

    def _write(self, lines: list[bytes]) -> None:
        try:
            whole = stat.S_ISREG(os.fstat(self._file).st_mode)
            for batch in [b"".join(lines)] if whole else _batches(lines):
                _write_all(self._file, batch)
            self._failing = False
        except OSError as error:
            self._dropped(len(lines))
            if not self._failing:
                log.error("access_log_unwritable", reason=error.strerror)
            self._failing = True


def check(log: settings.AccessLog) -> None:
    """Raises Unwritable when the log that is wanted cannot be written."""
    if log.enabled:
        try:
            os.close(_open(log))
        except OSError as error:
            raise Unwritable(f"access log {log.path}: {error.strerror}") from error


def _open(log: settings.AccessLog) -> int:
    if log.path is None:
        return os.dup(sys.stdout.fileno())
    return os.open(log.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _batches(lines: list[bytes]) -> Iterator[bytes]:
    batch = b""
    for line in lines:
        if batch and len(batch) + len(line) > PIPE_BUF:
            yield batch
            batch = b""
        batch += line
    yield batch


# --- formats -------------------------------------------------------------------------------------------------------

Formatter = Callable[[LoggedRequest, Usage, str, float], str]


def as_json(request: LoggedRequest, usage: Usage, error_code: str, now: float) -> str:
    fields = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "request_id": request.id,
        "peer": request.peer,
        "tls": request.tls,
        "protocol": usage.protocol,
        "operation": usage.operation,
        "repository": usage.repository,
        "bucket": usage.bucket,
        "access_key": usage.access_key,
        "method": request.method,
        "target": _target(request),
        "host": request.headers.get("host", ""),
        "status": usage.status,
        "error": error_code,
        "received": usage.received,
        "sent": usage.sent,
        "aborted": usage.aborted,
        "seconds": round(usage.seconds, 6),
        "first_byte_seconds": round(usage.first_byte_seconds, 6),
        "referer": redact_text(request.headers.get("referer", "")),
        "user_agent": request.headers.get("user-agent", ""),
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def as_aws(request: LoggedRequest, usage: Usage, error_code: str, now: float) -> str:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html; `-` stands for what is not known."""
    signed = _authentication(request)
    key = _key(request.path, usage.bucket)
    fields = (
        usage.repository or "-",
        usage.bucket or "-",
        _time(int(now)),
        request.peer,
        usage.access_key or "-",
        request.id,
        _aws_operation(request.method, usage.operation, has_key=bool(key)),
        _plain(key) or "-",
        f'"{_request_line(request)}"',
        str(usage.status or "-"),
        error_code or "-",
        str(usage.sent or "-"),
        "-",
        str(round(usage.seconds * 1000)),
        str(round(usage.first_byte_seconds * 1000)),
        _quoted(request.headers, "referer"),
        _quoted(request.headers, "user-agent"),
        "-",
        "-",
        "SigV4" if signed != "-" else "-",
        "-",
        signed,
        _plain(request.headers.get("host", "")) or "-",
        "-",
        "-",
        "-",
    )
    return " ".join(fields)


def as_combined(request: LoggedRequest, usage: Usage, error_code: str, now: float) -> str:
    """The combined format of web servers (https://httpd.apache.org/docs/2.4/logs.html#combined)."""
    return (
        f'{request.peer} - {usage.access_key or "-"} {_time(int(now))} "{_request_line(request)}" {usage.status} '
        f"{usage.sent or '-'} {_quoted(request.headers, 'referer')} {_quoted(request.headers, 'user-agent')}"
    )


FORMATS: Mapping[str, Formatter] = {"json": as_json, "aws": as_aws, "combined": as_combined}

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160), ord('"'), ord("\\"))}
_AWS_OPERATIONS = {
    "ListBuckets": "REST.GET.SERVICE",
    "ListVersions": "REST.GET.BUCKETVERSIONS",
    "ListUploads": "REST.GET.UPLOADS",
    "ListParts": "REST.GET.UPLOAD",
    "GetAttributes": "REST.GET.OBJECT_ATTRIBUTES",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "CopyObject": "REST.COPY.OBJECT",
    "OpenUpload": "REST.POST.UPLOADS",
    "StagePart": "REST.PUT.PART",
    "StageCopy": "REST.COPY.PART",
    "CommitUpload": "REST.POST.UPLOAD",
    "AbortUpload": "REST.DELETE.UPLOAD",
}


def _aws_operation(method: str, operation: str, *, has_key: bool) -> str:
    return _AWS_OPERATIONS.get(operation) or f"REST.{_plain(method)}.{'OBJECT' if has_key else 'BUCKET'}"


def _target(request: LoggedRequest) -> str:
    return redact_text(f"{request.path}?{request.query}" if request.query else request.path)


def _request_line(request: LoggedRequest) -> str:
    return f"{_plain(request.method)} {_plain(_target(request))} HTTP/{request.version}"


def _key(path: str, bucket: str) -> str:
    """The key as it was sent: what follows the bucket, or the whole path where the host named the bucket."""
    first, _, rest = path[1:].partition("/")
    return rest if first == bucket else path[1:]


def _authentication(request: LoggedRequest) -> str:
    if "authorization" in request.headers:
        return "AuthHeader"
    return "QueryString" if "X-Amz-Signature=" in request.query else "-"


def _quoted(headers: Mapping[str, str], name: str) -> str:
    return f'"{redact_text(_plain(headers.get(name, ""))) or "-"}"'


def _plain(text: str) -> str:
    """Text that can end neither its quotes nor its line."""
    return text.translate(_ESCAPES)


@lru_cache(maxsize=2)
def _time(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("[%d/%b/%Y:%H:%M:%S +0000]")
