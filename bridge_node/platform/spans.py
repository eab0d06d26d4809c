"""From when until when, as clients of statistics write it (contract §§7, 8). Seconds since 1970, UTC."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge_node.platform.errors import BadRequest
from bridge_node.platform.tolerance import given, instant, is_day

MINUTE = 60
DAY = 24 * 3600
_EPOCH = re.compile(r"[0-9]{9,13}")
_DDMMYYYY = re.compile(r"[0-9]{5,8}")
_FIRST_MILLISECONDS = 10**12
"""What is as large as that counts milliseconds."""

_Reading = Callable[[str], tuple[int, int]]
"""A text's moment, and the last second that it means: a day means all of it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until before `end`."""

    start: int
    end: int


def dated(start: str | None, end: str | None, *, now: int, usual: int, size: int) -> Span:
    """ISO 8601 dates and date-times, and epochs. What is left out makes a span of `usual` seconds, or one until now.

    Both ends are in it, widened to whole minutes or days (`size`). Raises BadRequest.
    """
    return _span(_moment, start, end, now, usual, size)


def ddmmyyyy(start: str | None, end: str | None, *, now: int, usual: int) -> Span:
    """Whole days, written as numbers whose leading zero is lost (`5012026` is 5 January), or as `dated` has them."""
    return _span(_day_or_moment, start, end, now, usual, DAY)


def day(text: str) -> Span:
    """The day that a date or date-time is in. Raises BadRequest."""
    begin, _ = _read(_moment, "day", text)
    return Span(begin - begin % DAY, begin - begin % DAY + DAY)


def _span(read: _Reading, start: str | None, end: str | None, now: int, usual: int, size: int) -> Span:
    begin = _read(read, "startDate", start)[0] if given(start) else None
    last = _read(read, "endDate", end)[1] if given(end) else max(now, begin or now)
    if begin is None:
        begin = last - usual
    if begin > last:
        raise BadRequest("startDate is after endDate")
    return Span(begin - begin % size, last - last % size + size)


def _read(read: _Reading, name: str, text: str | None) -> tuple[int, int]:
    try:
        return read((given(text) or "").replace(" ", "+" if "T" in (text or "") else " "))
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{name}: not a date") from error


def _moment(text: str) -> tuple[int, int]:
    if _EPOCH.fullmatch(text):
        second = int(text) // 1000 if int(text) >= _FIRST_MILLISECONDS else int(text)
        return second, second
    begin = int(instant(text).timestamp())
    return (begin, begin + DAY - 1) if is_day(text) else (begin, begin)


def _day_or_moment(text: str) -> tuple[int, int]:
    if not _DDMMYYYY.fullmatch(text):
        return _moment(text)
    padded = text.zfill(8)
    begin = int(datetime(int(padded[4:]), int(padded[2:4]), int(padded[:2]), tzinfo=UTC).timestamp())
    return begin, begin + DAY - 1
