"""Heads that the server must refuse, and what it answers: none of them may ever become a request, or two."""

from dataclasses import dataclass

TARGET_LIMIT = 8 * 1024


@dataclass(frozen=True)
class Hostile:
    """One attack: the bytes, and the status and reason of the only answer to them."""

    name: str
    data: bytes
    status: int
    reason: str


def _head(*fields: bytes, line: bytes = b"PUT /b/k HTTP/1.1", host: bytes = b"Host: a\r\n") -> bytes:
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def _line(line: bytes) -> bytes:
    return _head(line=line)


_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

CORPUS = [
    # Framing: which bytes belong to this request?
    Hostile("two lengths that differ", _head(b"Content-Length: 1", b"Content-Length: 2"), 400, "malformed_head"),
    Hostile("two lengths that agree", _head(b"Content-Length: 1", b"Content-Length: 1"), 400, "malformed_head"),
    Hostile("a list of lengths", _head(b"Content-Length: 1, 1"), 400, "malformed_head"),
    Hostile("a signed length", _head(b"Content-Length: +1"), 400, "malformed_head"),
    Hostile("a negative length", _head(b"Content-Length: -1"), 400, "malformed_head"),
    Hostile("a hexadecimal length", _head(b"Content-Length: 0x1"), 400, "malformed_head"),
    Hostile("an empty length", _head(b"Content-Length:"), 400, "malformed_head"),
    Hostile("a length with a space inside", _head(b"Content-Length: 1 1"), 400, "malformed_head"),
    Hostile("a length beyond 64 bits", _head(b"Content-Length: 99999999999999999999"), 400, "malformed_head"),
    Hostile("a length with underscores", _head(b"Content-Length: 1_0"), 400, "malformed_head"),
    Hostile(
        "length, then chunked",
        _head(b"Content-Length: 6", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + _SMUGGLED,
        400,
        "malformed_head",
    ),
    Hostile(
        "chunked, then length",
        _head(b"Transfer-Encoding: chunked", b"Content-Length: 6") + b"0\r\n\r\n" + _SMUGGLED,
        400,
        "malformed_head",
    ),
    Hostile("chunked twice", _head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400, ""),
    Hostile("chunked in two names", _head(b"Transfer-Encoding: chunked", b"transfer-encoding: chunked"), 400, ""),
    Hostile("gzip before chunked", _head(b"Transfer-Encoding: gzip, chunked"), 501, "unknown_coding"),
    Hostile("chunked before gzip", _head(b"Transfer-Encoding: chunked, gzip"), 400, "malformed_head"),
    Hostile("identity", _head(b"Transfer-Encoding: identity"), 400, "malformed_head"),
    Hostile("xchunked", _head(b"Transfer-Encoding: xchunked"), 400, "malformed_head"),
    Hostile("chunked in quotes", _head(b'Transfer-Encoding: "chunked"'), 400, "malformed_head"),
    Hostile("chunked with a vertical tab", _head(b"Transfer-Encoding: \x0bchunked"), 400, "malformed_head"),
    Hostile("chunked with a parameter", _head(b"Transfer-Encoding: chunked;a=b"), 400, "malformed_head"),
    Hostile("an empty coding", _head(b"Transfer-Encoding:"), 400, ""),
    Hostile(
        "chunked in HTTP/1.0",
        _head(b"Transfer-Encoding: chunked", line=b"PUT /b/k HTTP/1.0") + b"0\r\n\r\n" + _SMUGGLED,
        400,
        "ambiguous_framing",
    ),
    # Lines: where does one end?
    Hostile("folding by space", _head(b"X-A: a\r\n b"), 400, "malformed_head"),
    Hostile("folding by tab", _head(b"X-A: a\r\n\tb"), 400, "malformed_head"),
    Hostile("folding of the first field", _line(b"GET / HTTP/1.1\r\n X: a"), 400, "malformed_head"),
    Hostile("bare LF after a field", _head(b"X-A: a\nX-B: b"), 400, "malformed_head"),
    Hostile("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, ""),
    Hostile("bare LF throughout", b"GET / HTTP/1.1\nHost: a\n\n", 400, ""),
    Hostile("bare LF hiding a head", _head(b"X-A: a\n\n" + _SMUGGLED[:-4]), 400, "malformed_head"),
    Hostile("bare CR in a value", _head(b"X-A: a\rX-B: b"), 400, "malformed_head"),
    Hostile("bare CR before CRLF", _head(b"X-A: a\r"), 400, "malformed_head"),
    Hostile("bare CR in the request line", _line(b"GET /\r HTTP/1.1"), 400, ""),
    Hostile("bare CR hiding a head", _head(b"X-A: a\r\r" + _SMUGGLED[:-4]), 400, "malformed_head"),
    # Names and values
    Hostile("space before the colon", _head(b"Content-Length : 5"), 400, "malformed_head"),
    Hostile("tab before the colon", _head(b"Content-Length\t: 5"), 400, "malformed_head"),
    Hostile("no colon", _head(b"X-A"), 400, "malformed_head"),
    Hostile("no name", _head(b": a"), 400, "malformed_head"),
    Hostile("a name in brackets", _head(b"X[A]: a"), 400, "malformed_head"),
    Hostile("a name beyond ASCII", _head(b"X-\xc3\xa4: a"), 400, "malformed_head"),
    *(
        Hostile(f"control character {octet:#04x} in a value", _head(b"X-A: a%cb" % octet), 400, "malformed_head")
        for octet in [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]
    ),
    *(
        Hostile(f"character {octet:#04x} in a name", _head(b"X%cA: b" % octet), 400, "malformed_head")
        for octet in b'\x00\x01\t "(),/;<=>?@[\\]{}\x7f\x80\xff'
    ),
    *(
        Hostile(f"octet {octet:#04x} in the target", _line(b"GET /a%cb HTTP/1.1" % octet), 400, "")
        for octet in b"\x00\x01\t\x0b\x0c\x1f\x7f\x80\xff#"
    ),
    # What must stand once
    Hostile("no host", b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    Hostile("two hosts", _head(b"Host: b"), 400, "repeated_header"),
    Hostile("two hosts in two cases", _head(b"HOST: a"), 400, "repeated_header"),
    Hostile("an empty host", _head(host=b"Host:\r\n"), 400, "malformed_host"),
    Hostile("a list of hosts", _head(host=b"Host: a, b\r\n"), 400, "malformed_host"),
    Hostile("a host with user", _head(host=b"Host: u@a\r\n"), 400, "malformed_host"),
    Hostile("a host with a path", _head(host=b"Host: a/b\r\n"), 400, "malformed_host"),
    *(
        Hostile(
            f"two fields {name}", _head(name.encode() + b": a", name.title().encode() + b": a"), 400, "repeated_header"
        )
        for name in (
            "authorization",
            "content-md5",
            "content-type",
            "date",
            "expect",
            "if-match",
            "if-none-match",
            "range",
            "x-amz-content-sha256",
            "x-amz-copy-source",
            "x-amz-date",
            "x-amz-decoded-content-length",
            "x-amz-security-token",
        )
    ),
    # The request line
    Hostile("absolute form", _line(b"GET http://b/k HTTP/1.1"), 400, "malformed_target"),
    Hostile("authority form", _line(b"CONNECT a:443 HTTP/1.1"), 501, "connect"),
    Hostile("authority form of another method", _line(b"GET a:443 HTTP/1.1"), 400, "malformed_target"),
    Hostile("asterisk form", _line(b"OPTIONS * HTTP/1.1"), 400, "malformed_target"),
    Hostile("no slash", _line(b"GET b/k HTTP/1.1"), 400, "malformed_target"),
    Hostile("no target", _line(b"GET HTTP/1.1"), 400, "malformed_request_line"),
    Hostile("two spaces before the target", _line(b"GET  / HTTP/1.1"), 400, "malformed_request_line"),
    Hostile("two spaces before the version", _line(b"GET /  HTTP/1.1"), 400, "malformed_request_line"),
    Hostile("a space after the version", _line(b"GET / HTTP/1.1 "), 400, "malformed_request_line"),
    Hostile("a tab for a space", _line(b"GET\t/\tHTTP/1.1"), 400, "malformed_request_line"),
    Hostile("a space in the target", _line(b"GET /a b HTTP/1.1"), 400, "malformed_request_line"),
    Hostile("HTTP/0.9", b"GET /\r\n\r\n", 400, "malformed_request_line"),
    Hostile("HTTP/0.9 with fields", _line(b"GET /"), 400, "malformed_request_line"),
    Hostile("HTTP/1.2", _line(b"GET / HTTP/1.2"), 505, "unsupported_version"),
    Hostile("HTTP/2.0", _line(b"GET / HTTP/2.0"), 505, "unsupported_version"),
    Hostile("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    Hostile("HTTP/1.10", _line(b"GET / HTTP/1.10"), 400, "malformed_version"),
    Hostile("http/1.1", _line(b"GET / http/1.1"), 400, "malformed_version"),
    Hostile("RTSP", _line(b"OPTIONS / RTSP/1.0"), 400, "malformed_version"),
    Hostile("ICE", _line(b"SOURCE / ICE/1.0"), 400, "malformed_version"),
    Hostile("a method in lower case", _line(b"get / HTTP/1.1"), 400, "malformed_method"),
    Hostile("an unknown method", _line(b"FROB / HTTP/1.1"), 501, "unknown_method"),
    Hostile("a method with a NUL", _line(b"GE\0T / HTTP/1.1"), 400, "malformed_method"),
    Hostile("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, ""),
    Hostile("an SSH banner with a NUL", b"SSH-2.0-\0\r\n", 400, ""),
    # Too much
    Hostile("a long target", _line(b"GET /" + b"a" * TARGET_LIMIT + b" HTTP/1.1"), 414, "target_too_long"),
    Hostile("an endless target", b"GET /" + b"a" * 16 * 1024, 414, "target_too_long"),
    Hostile("a long field", _head(b"X-A: " + b"a" * 16 * 1024), 431, "head_too_long"),
    Hostile("an endless field", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 16 * 1024, 431, "head_too_long"),
    Hostile("a long name", _head(b"X" * 16 * 1024 + b": a"), 431, "head_too_long"),
    Hostile("many fields", _head(*(b"X-%d: a" % n for n in range(100))), 431, "too_many_header_fields"),
    Hostile("another expectation", _head(b"Expect: 200-ok", b"Content-Length: 1"), 417, "unknown_expectation"),
]
"""An empty reason leaves open which of two layers refuses."""

CHUNKED_HEAD = _head(b"Transfer-Encoding: chunked")

CHUNKED_CORPUS = [
    (b"5\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"5\r\nhello\n0\r\n\r\n", "chunk_longer_than_announced"),
    (b"5\r\nhello!\r\n0\r\n\r\n", "chunk_longer_than_announced"),
    (b"5 \r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b" 5\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"0x5\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"+5\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"-5\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"5_0\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"g\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"5;a\nb\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"5;a\rb\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"5;a\0\r\nhello\r\n0\r\n\r\n", "malformed_chunk_size"),
    (b"0\r\nno trailer\r\n\r\n", "malformed_trailer"),
    (b"0\r\nA : b\r\n\r\n", "malformed_trailer"),
    (b"0\r\nA: b\r\n c\r\n\r\n", "malformed_trailer"),
    (b"0\r\nA: b\nC: d\r\n\r\n", "malformed_trailer"),
    (b"0\r\n\n", "malformed_trailer"),
    (b"5;" + b"a" * 20_000, "too_many_chunk_extensions"),
    (b"1;" + b"\r\na\r\n1;".join([b"x" * 4000] * 6) + b"\r\na\r\n0\r\n\r\n", "too_many_chunk_extensions"),
    (b"0\r\n" + b"A: bbbbbbbb\r\n" * 2000 + b"\r\n", "too_many_chunk_extensions"),
]
"""Chunked bodies that cannot be read, and why."""
