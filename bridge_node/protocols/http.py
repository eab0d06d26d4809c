"""HTTP values that mean the same for every protocol: dates, entity tags, ranges, conditions, queries.

RFC 9110 unless said otherwise. Headers are mappings of lower-case names to values.
"""

import re
from calendar import timegm
from collections.abc import Mapping
from functools import lru_cache
from time import gmtime
from urllib.parse import quote, unquote_to_bytes

from bridge_node.errors import InvalidArgument
from bridge_node.objects import NO_CONDITIONS, ByteRange, Conditions

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DATE_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
"""IMF-fixdate, RFC 850, asctime."""

_ETAG = re.compile(r'\s*(?:(?:W/)?"(?P<quoted>[^"]*)"|(?P<bare>[^",\s]+))\s*(?:,|$)')
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_NOT_IN_FIELD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


# --- dates ---------------------------------------------------------------------------------------------------------


def http_date(timestamp: float) -> str:
    """Epoch seconds as IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return _imf_fixdate(int(timestamp))


@lru_cache(maxsize=4096)
def _imf_fixdate(second: int) -> str:
    year, month, day, hour, minute, seconds, weekday, *_ = gmtime(second)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{seconds:02} GMT"


@lru_cache(maxsize=4096)
def parse_http_date(text: str) -> float | None:
    """Epoch seconds of any of the three forms of RFC 9110 §5.6.7, or None for anything else."""
    for form in _DATE_FORMS:
        match = form.fullmatch(text.strip())
        if match:
            return _seconds(match)
    return None


def _seconds(match: re.Match[str]) -> float | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        # The RFC asks for a comparison with today; no such client is older than POSIX's own window.
        year += 1900 if year >= 69 else 2000
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if not (1 <= day <= _days_of(year, month) and hour < 24 and minute < 60 and second <= 60):
        return None
    return float(timegm((year, month, day, hour, minute, second)))


def _days_of(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


# --- conditions and ranges -----------------------------------------------------------------------------------------


def quoted(etag: str) -> str:
    """An etag as headers and documents carry it."""
    return f'"{etag}"'


def unquoted(etag: str) -> str:
    """The opaque part of one entity tag: without quotes, without `W/`."""
    return etag.strip().removeprefix("W/").strip('"')


def parse_etags(text: str) -> tuple[str, ...]:
    """The tags of an If-Match or If-None-Match value, without quotes and `W/`; `*` stands for itself.

    Bare tags are taken as they stand, as S3 does. What is no list of tags is one tag that matches nothing.
    """
    tags = []
    position = 0
    while position < len(text):
        match = _ETAG.match(text, position)
        if not match:
            return (text,)
        tags.append(match["bare"] if match["quoted"] is None else match["quoted"])
        position = match.end()
    return tuple(tags)


def parse_range(text: str) -> ByteRange | None:
    """A single byte range; None for what is ignored: other units, several ranges, bad syntax (checklist 70)."""
    match = _RANGE.fullmatch(text.strip())
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        return ByteRange(suffix=int(match[2]))
    first, last = int(match[1]), int(match[2]) if match[2] else None
    return None if last is not None and last < first else ByteRange(first, last)


def parse_copy_range(text: str) -> ByteRange:
    """`bytes=first-last`, as x-amz-copy-source-range must be; raises InvalidArgument for anything else."""
    found = parse_range(text)
    if found is None or found.suffix is not None or found.last is None:
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    return found


def conditions(headers: Mapping[str, str], prefix: str = "") -> Conditions:
    """Conditions of a request; `prefix` is `x-amz-copy-source-` for those on a copy's source.

    A date that cannot be read is ignored, as RFC 9110 §13.1.3 asks.
    """
    match = headers.get(prefix + "if-match")
    none_match = headers.get(prefix + "if-none-match")
    modified = headers.get(prefix + "if-modified-since")
    unmodified = headers.get(prefix + "if-unmodified-since")
    if match is none_match is modified is unmodified is None:
        return NO_CONDITIONS
    return Conditions(
        () if match is None else parse_etags(match),
        () if none_match is None else parse_etags(none_match),
        None if modified is None else parse_http_date(modified),
        None if unmodified is None else parse_http_date(unmodified),
    )


# --- targets -------------------------------------------------------------------------------------------------------


def parse_query(query: str) -> dict[str, str]:
    """Decoded names and values; a name without `=` has the value "". The first of a repeated name counts.

    `+` is a space. Raises InvalidArgument for what is not UTF-8.
    """
    values: dict[str, str] = {}
    if query:
        for item in query.split("&"):
            if item:
                name, _, value = item.replace("+", " ").partition("=")
                values.setdefault(percent_decoded(name), percent_decoded(value))
    return values


def percent_decoded(text: str) -> str:
    """A path or a part of it as text; `+` stays. Raises InvalidArgument for what is not UTF-8."""
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise InvalidArgument("Could not decode the request's target as UTF-8.", reason="not_utf8") from error


def percent_encoded(text: str, safe: str = "/") -> str:
    """UTF-8 bytes in upper-case escapes, all but RFC 3986's unreserved characters and `safe`."""
    return quote(text, safe=safe)


# --- header values -------------------------------------------------------------------------------------------------


def is_field_value(text: str) -> bool:
    """Whether `text` can be a header's value: Latin-1, without CR, LF, NUL and other controls."""
    if text.isascii():
        return text.isprintable() or not _NOT_IN_FIELD.search(text)
    return max(text) <= "\xff" and not _NOT_IN_FIELD.search(text)
