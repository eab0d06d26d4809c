"""The ordinary answer is read at one go, exactly as llhttp reads it; anything else is left to llhttp."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.backends.heads import lower_case, read_ordinary

HEAD = (
    b'HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 10\r\nETag: "x"\r\n'
    b"X-Amz-Meta-A:  caf\xc3\xa9 \r\nConnection: keep-alive\r\n\r\n"
)
WHOLE = HEAD + b"0123456789"
for known in ("Date", "Content-Length", "ETag", "X-Amz-Meta-A", "Connection", "Transfer-Encoding"):
    lower_case(known)


class Judge:
    """What llhttp makes of an answer."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.whole_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        self.whole_head = True

    def on_body(self, data: bytes) -> None:
        self.body += data


def test_an_ordinary_answer_is_read_whole() -> None:
    assert read_ordinary(WHOLE, bodiless=False) == (
        200,
        {
            "date": "Sat, 21 Nov 2026 08:00:00 GMT",
            "content-length": "10",
            "etag": '"x"',
            "x-amz-meta-a": "caf\xc3\xa9",
            "connection": "keep-alive",
        },
        10,
        b"0123456789",
    )


def test_an_answer_to_head_has_no_body_whatever_it_announces() -> None:
    read = read_ordinary(HEAD, bodiless=True)
    assert read is not None
    assert read[2:] == (0, b"")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_statuses_have_no_body_whatever_is_announced(status: bytes) -> None:
    read = read_ordinary(HEAD.replace(b"200 OK", status), bodiless=False)
    assert read is not None
    assert read[2:] == (0, b"")


@pytest.mark.parametrize(
    "unusual",
    [
        WHOLE[: len(HEAD) - 1],
        WHOLE + b"more",
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        WHOLE.replace(b"200 OK", b"100 Continue"),
        WHOLE.replace(b"200 OK", b"600 What"),
        WHOLE.replace(b" 200 OK", b"  200 OK"),
        WHOLE.replace(b"200 OK", b"2000 OK"),
        WHOLE.replace(b"Content-Length: 10\r\n", b""),
        WHOLE.replace(b"Connection: keep-alive", b"Content-Length: 10"),
        WHOLE.replace(b"Connection: keep-alive", b"Transfer-Encoding: chunked"),
        WHOLE.replace(b"Length: 10", b"Length: +10"),
        WHOLE.replace(b"Length: 10", b"Length: \xb2"),
        WHOLE.replace(b"Length: 10", b"Length: " + b"1" * 20),
        WHOLE.replace(b"ETag: ", b"Never-Seen-Before: "),
        WHOLE.replace(b"ETag: ", b"ETag : "),
        WHOLE.replace(b"ETag: ", b" ETag: "),
        WHOLE.replace(b"ETag: ", b"ETag "),
        *(WHOLE.replace(b'"x"', b'"' + octet + b'"') for octet in (b"\r", b"\n", b"\0", b"\n\r", b"\x7f", b"\x1b")),
        WHOLE.replace(b'"x"\r\n', b'"x"\n'),
        WHOLE.replace(b'"x"\r\n', b'"x"\r'),
    ],
)
def test_what_is_unusual_is_left_to_llhttp(unusual: bytes) -> None:
    assert read_ordinary(unusual, bodiless=False) is None


@given(
    st.integers(0, len(WHOLE)), st.integers(0, 4), st.one_of(st.binary(max_size=4), st.sampled_from([b"\r\n", b": "]))
)
def test_whatever_is_read_at_one_go_llhttp_reads_the_same(at: int, removed: int, inserted: bytes) -> None:
    answer = WHOLE[:at] + inserted + WHOLE[at + removed :]
    read = read_ordinary(answer, bodiless=False)
    if read is None or read[0] in (204, 304):
        return
    status, headers, _, body = read
    judge = Judge()
    parser = httptools.HttpResponseParser(judge)
    parser.feed_data(answer)
    assert judge.whole_head
    assert (parser.get_status_code(), dict(judge.headers), judge.body) == (status, headers, body)
    assert len(judge.headers) == len(headers)
