"""Reads the ordinary answer at one go: its head and the beginning of its body in one piece, nothing unusual about it.

Nearly every answer of an object store is one. What is unusual in any way (an interim answer, chunks, a repeated or a
new field, an octet that has no business there) is not judged here but left to llhttp, which is strict, and slower.
"""

_STATUSES = {b"HTTP/1.1 %d " % status: status for status in range(200, 600)}
_TEXT = bytes(range(0x20, 0x7F)) + b"\t" + bytes(range(0x80, 0x100))
_NAMES: dict[str, str] = {}
_MOST_NAMES = 1024
"""A backend that invents names must not fill the memory."""


def read_ordinary(data: bytes, *, bodiless: bool) -> tuple[int, dict[str, str], int, bytes] | None:
    """Status, headers, size of the body and what `data` has of it; None for an answer that is not ordinary.

    Headers are by lower-case name, bytes above 0x7F as Latin-1. A `bodiless` answer is one to HEAD.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    status = _STATUSES.get(head[:13])
    if status is None or not end:
        return None
    lines = head.decode("latin-1").split("\r\n")
    del lines[0]
    if head.translate(None, _TEXT) != b"\r\n" * len(lines):
        return None
    headers: dict[str, str] = {}
    try:
        for line in lines:
            name, _, value = line.partition(":")
            headers[_NAMES[name]] = value.strip(" \t")
    except KeyError:
        return None
    if len(headers) != len(lines) or "transfer-encoding" in headers:
        return None
    size = 0 if bodiless or status in (204, 304) else _size(headers.get("content-length", ""))
    return None if len(body) > size else (status, headers, size, body)


def lower_case(name: str) -> str:
    """A field's name in lower case; `read_ordinary` knows it from then on, so llhttp must have read it."""
    lowered = _NAMES.get(name)
    if lowered is None:
        lowered = name.lower()
        if len(_NAMES) < _MOST_NAMES:
            _NAMES[name] = lowered
    return lowered


def _size(text: str) -> int:
    """The number in a Content-Length, negative for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
