"""The node's own log: one event with fields a line, on standard error, and never a secret in it (promise 21).

Code logs with `structlog.get_logger()`; what libraries log by the standard library takes the same way out.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bridge_node import settings

Format = Literal["json", "pretty", "journald"]
REDACTED = "[redacted]"

_SECRET_FIELDS = frozenset({"authorization", "cookie", "secret_key", "session_token", "x-amz-security-token"})
_SECRET_PARAMETERS = re.compile(
    r"((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|Credential|sig)=)[^&,\s\"']+", re.IGNORECASE
)
_SECRET_HEADERS = re.compile(r"((?:authorization|x-amz-security-token)['\"]?[:=]\s*['\"]?)[^\r\n'\"]+", re.IGNORECASE)
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(log: settings.Log, *, stream: TextIO | None = None, journal_stream: str = "", **fields: object) -> None:
    """Sends everything that is logged from now on to standard error (or `stream`), with `fields` in each line.

    `journal_stream` is systemd's JOURNAL_STREAM: the device and inode of the stream that leads to the journal.
    """
    stream = stream or sys.stderr
    form = choose(log.format, stream, journal_stream)
    level = logging.getLevelNamesMapping()[log.level.upper()]
    shared: list[Processor] = [
        _With(fields),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=_rendering(form), foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)


def choose(form: Literal["auto", "json", "pretty", "journald"], stream: TextIO, journal_stream: str) -> Format:
    """What `auto` means for this stream."""
    if form != "auto":
        return form
    if stream.isatty():
        return "pretty"
    try:
        stat = os.fstat(stream.fileno())
    except OSError:  # a stream without a descriptor, as tests have
        return "json"
    return "journald" if journal_stream == f"{stat.st_dev}:{stat.st_ino}" else "json"


def _rendering(form: Format) -> list[Processor]:
    before: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "pretty":
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [*before, structlog.processors.format_exc_info, redact, console]
    before += [structlog.processors.format_exc_info, redact, _lead]
    renderer = structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
    return [*before, _Journald(renderer) if form == "journald" else renderer]


def _lead(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Puts what one looks for first first."""
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return {**first, **event}


def redact(logger: WrappedLogger | None, method: str, event: EventDict) -> EventDict:
    """Takes out signatures, credentials and tokens, wherever in a field's text they stand."""
    for name, value in event.items():
        if name.lower() in _SECRET_FIELDS:
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = redact_text(value)
    return event


def redact_text(text: str) -> str:
    """`text` without the values of presigned parameters and of Authorization headers."""
    if "=" not in text and ":" not in text:
        return text
    return _SECRET_PARAMETERS.sub(rf"\1{REDACTED}", _SECRET_HEADERS.sub(rf"\1{REDACTED}", text))


class _With:
    """Puts the same fields into every line."""

    def __init__(self, fields: MutableMapping[str, Any]) -> None:
        self._fields = fields

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {**self._fields, **event}


class _Journald:
    """Prefixes each line with its priority as sd-daemon(3) has it; the journal keeps the time by itself."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        event.pop("timestamp", None)
        priority = _PRIORITIES[event["level"]]
        return f"<{priority}>{self._renderer(logger, method, event)!s}"
