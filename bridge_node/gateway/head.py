"""Reads the head of a request strictly: what is not plain HTTP/1.1 in origin form is refused, never repaired.

llhttp (httptools) checks every octet of names, values and framing fields; this file adds what it lets pass: the shape
of the request line, repeated fields, codings other than chunked, Host. RFC 9112 leaves two choices to a server: targets
in absolute, authority and asterisk form are refused, because a signature covers the path as it was sent and nothing
here is a proxy; an offered upgrade is ignored.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import httptools

from bridge_node.gateway.http import HttpFault

TARGET_BYTES = 8 * 1024
"""Longest request target: a key of 1,024 bytes, all percent-encoded, with a presigned query."""


class Head(NamedTuple):
    """What the head of one request says; `length` is the announced size of the body, None for chunked framing."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    keep_alive: bool
    has_length: bool
    length: int | None
    expects_continue: bool


class HeadReader:
    """Reads the heads that arrive on one connection, one call each."""

    __slots__ = ("_field_limit", "_fields", "_parser", "_spent", "on_header")

    def __init__(self, field_limit: int) -> None:
        self._field_limit = field_limit
        self._fields: dict[bytes, bytes] = {}
        # llhttp fills the dictionary without a Python frame per field; repetitions show in the count afterwards.
        self.on_header = self._fields.__setitem__
        self._parser = httptools.HttpRequestParser(self)
        self._spent = False

    def read(self, data: bytes) -> Head:
        """`data` is one head, up to and with its first empty line. Raises HttpFault."""
        method, path, query, version = _request_line(data[: data.find(b"\r\n")])
        count = data.count(b"\n") - 2
        if count > self._field_limit:
            raise HttpFault(431, "too_many_header_fields", "The request has too many header fields.")
        self._parse(data, method)
        headers = {_NAMES[name]: value.rstrip().decode("latin-1") for name, value in self._fields.items()}
        if len(headers) != count:
            headers = _joined(data)
        _check_host(headers.get("host"), version)
        length = _length(headers, version)
        self._spent = self._spent or length != 0
        return Head(
            method,
            path,
            query,
            version,
            headers,
            _keeps_alive(headers.get("connection"), version),
            length != 0 or "content-length" in headers,
            length,
            "expect" in headers and _expects_continue(headers["expect"], version),
        )

    def _parse(self, data: bytes, method: str) -> None:
        if self._spent:  # llhttp now waits for a body that it never sees
            self._parser = httptools.HttpRequestParser(self)
            self._spent = False
        self._fields.clear()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._spent = True
            if method == "CONNECT":
                raise HttpFault(501, "connect", "CONNECT is not offered here.") from None
        except httptools.HttpParserInvalidMethodError as error:
            raise _method_fault(method) from error
        except httptools.HttpParserError as error:
            raise HttpFault(400, "malformed_head", f"The request cannot be read: {error}.") from error


def premature_fault(data: bytes, byte_limit: int) -> HttpFault | None:
    """What is already wrong with the beginning of a head whose end has not come, if anything."""
    if not data[:1].isalpha() and data[:1] != b"\r":
        return HttpFault(400, "not_http", "The request does not begin with a method.")
    if data.translate(None, _TEXT) or data.count(b"\n") != data.count(b"\r\n"):
        return HttpFault(400, "malformed_head", "The request's head contains control characters or bare line feeds.")
    if len(data) < byte_limit:
        return None
    return head_too_long(data)


def head_too_long(data: bytes) -> HttpFault:
    if b"\r\n" not in data[: TARGET_BYTES + 64]:
        return HttpFault(414, "target_too_long", "The request target is too long.")
    return HttpFault(431, "head_too_long", "The request's head is too long.")


_TEXT = bytes(range(0x20, 0x7F)) + b"\t\r\n" + bytes(range(0x80, 0x100))


class _Names(dict[bytes, str]):
    """Field names in lower case, as objects that are made once."""

    def __missing__(self, name: bytes) -> str:
        lowered = name.decode("ascii").lower()
        if len(self) < 1024:  # a client that invents names must not fill the memory
            self[name] = lowered
        return lowered


_NAMES = _Names()


def _request_line(line: bytes) -> tuple[str, str, str, str]:
    parts = line.decode("latin-1").split(" ")
    if len(parts) != 3:
        raise HttpFault(400, "malformed_request_line", "The request line cannot be read.")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _version_fault(version)
    if len(target) > TARGET_BYTES:
        raise HttpFault(414, "target_too_long", "The request target is too long.")
    if method == "CONNECT":
        raise HttpFault(501, "connect", "CONNECT is not offered here.")
    if target[:1] != "/" or "#" in target or not target.isascii():
        raise HttpFault(400, "malformed_target", "The request target is not a percent-encoded path.")
    path, _, query = target.partition("?")
    return method, path, query, version[5:]


def _version_fault(version: str) -> HttpFault:
    if re.fullmatch(r"HTTP/\d\.\d", version):
        return HttpFault(505, "unsupported_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return HttpFault(400, "malformed_version", "The request line names no HTTP version.")


def _method_fault(method: str) -> HttpFault:
    if re.fullmatch(r"[A-Z-]{1,32}", method):
        return HttpFault(501, "unknown_method", "The method is not known here.")
    return HttpFault(400, "malformed_method", "The method cannot be read.")


def _joined(data: bytes) -> dict[str, str]:
    """The fields of a head in which some name occurs more than once (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for line in data.split(b"\r\n")[1:-2]:
        raw_name, _, raw_value = line.partition(b":")
        name, value = _NAMES[raw_name], raw_value.strip().decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif _is_singleton(name):
            raise HttpFault(400, "repeated_header", f"The header field {name} must not be repeated.")
        else:
            headers[name] += f",{value}"
    return headers


_SINGLETONS = frozenset(
    {
        "authorization",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
        "date",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "range",
        "transfer-encoding",
        "user-agent",
    }
)
_LISTS = ("x-amz-meta-", "x-amz-object-attributes", "x-amz-optional-object-attributes", "x-amz-grant-")


def _is_singleton(name: str) -> bool:
    return name in _SINGLETONS or (name.startswith("x-amz-") and not name.startswith(_LISTS))


def _check_host(host: str | None, version: str) -> None:
    if host is None and version == "1.1":
        raise HttpFault(400, "missing_host", "The request names no host.")
    if host is not None and not _is_host(host):
        raise HttpFault(400, "malformed_host", "The request's host cannot be read.")


@lru_cache(maxsize=4096)
def _is_host(host: str) -> bool:
    return bool(re.fullmatch(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", host))


def _length(headers: dict[str, str], version: str) -> int | None:
    """The announced size of the body: 0 without one, None when it is chunked (RFC 9112 §6.3)."""
    coding = headers.get("transfer-encoding")
    if coding is None:
        return int(headers.get("content-length", "0"))
    if version == "1.0" or "content-length" in headers:
        raise HttpFault(400, "ambiguous_framing", "Transfer-Encoding does not belong into this request.")
    if coding.lower() != "chunked":
        raise HttpFault(501, "unknown_coding", "The only transfer coding known here is chunked.")
    return None


def _keeps_alive(connection: str | None, version: str) -> bool:
    if connection is None:
        return version == "1.1"
    options = [option.strip() for option in connection.lower().split(",")]
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def _expects_continue(expectation: str, version: str) -> bool:
    if version == "1.0":  # RFC 9110 §10.1.1: to be ignored
        return False
    if expectation.lower() != "100-continue":
        raise HttpFault(417, "unknown_expectation", "The only expectation known here is 100-continue.")
    return True
