"""Dates, tags, ranges, conditions and targets, as RFC 9110 and S3 want them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.errors import BridgeError, InvalidArgument
from bridge_node.objects import NO_CONDITIONS, ByteRange, Conditions
from bridge_node.protocols.http import (
    conditions,
    http_date,
    is_field_value,
    parse_copy_range,
    parse_etags,
    parse_http_date,
    parse_query,
    parse_range,
    percent_decoded,
    percent_encoded,
    quoted,
    unquoted,
)

RFC_EXAMPLE = 784111777.0


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_forms_of_a_date_are_read(text: str) -> None:
    assert parse_http_date(text) == RFC_EXAMPLE


def test_dates_are_written_as_imf_fixdate() -> None:
    assert http_date(RFC_EXAMPLE + 0.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, 253402300799))
def test_a_written_date_is_read_back(second: int) -> None:
    assert parse_http_date(http_date(second)) == second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, ٠6 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"abc"', ("abc",)),
        ('W/"abc"', ("abc",)),
        ('"a", W/"b" ,"c"', ("a", "b", "c")),
        ('"a,b"', ("a,b",)),
        ("abc", ("abc",)),
        ("*", ("*",)),
        ('""', ("",)),
        ('"unfinished', ('"unfinished',)),
        ("", ()),
    ],
)
def test_lists_of_entity_tags_are_read(text: str, tags: tuple[str, ...]) -> None:
    assert parse_etags(text) == tags


def test_an_entity_tag_loses_its_quotes_and_gets_them_back() -> None:
    assert unquoted(' W/"abc-2"') == unquoted('"abc-2"') == unquoted("abc-2") == "abc-2"
    assert quoted("abc-2") == '"abc-2"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 9)),
        ("bytes=5-", ByteRange(5)),
        ("bytes=-7", ByteRange(suffix=7)),
        ("bytes=-0", ByteRange(suffix=0)),
        ("bytes=0-0", ByteRange(0, 0)),
        (" bytes=1-2 ", ByteRange(1, 2)),
        ("bytes=1-0", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        ("bytes=٣-", None),
        ("bytes=0-" + "9" * 30, None),
        ("items=0-9", None),
        ("", None),
    ],
)
def test_a_range_is_single_and_well_formed_or_ignored(text: str, expected: ByteRange | None) -> None:
    assert parse_range(text) == expected


@given(st.integers(0, 10**12), st.one_of(st.none(), st.integers(0, 10**12)))
def test_a_written_range_is_read_back(first: int, length: int | None) -> None:
    written = ByteRange(first, None if length is None else first + length)
    assert parse_range(written.header()) == written


@pytest.mark.parametrize("text", ["", "bytes=0-", "bytes=-5", "bytes=5-1", "0-5"])
def test_the_range_of_a_copy_must_be_whole(text: str) -> None:
    assert parse_copy_range("bytes=0-5") == ByteRange(0, 5)
    with pytest.raises(InvalidArgument):
        parse_copy_range(text)


def test_conditions_are_read_with_and_without_a_prefix() -> None:
    values = {"if-match": '"a", "b"', "if-none-match": "*", "if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT"}
    expected = Conditions(("a", "b"), ("*",), None, RFC_EXAMPLE)
    assert conditions(values) == expected
    prefix = "x-amz-copy-source-"
    assert conditions({prefix + name: value for name, value in values.items()}, prefix) == expected
    assert conditions(values, prefix) is NO_CONDITIONS


def test_a_date_that_cannot_be_read_is_no_condition() -> None:
    assert conditions({"if-modified-since": "now"}) == NO_CONDITIONS


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("acl", {"acl": ""}),
        ("prefix=uploads/", {"prefix": "uploads/"}),
        ("prefix=a%2Bb+c%20d&delimiter=%2F", {"prefix": "a+b c d", "delimiter": "/"}),
        ("a=1&a=2&&b==", {"a": "1", "b": "="}),
        ("p%72efix=%C3%A9", {"prefix": "é"}),
        ("prefix=\xc3\xa9", {"prefix": "é"}),
        ("a=%", {"a": "%"}),
    ],
)
def test_a_query_is_parsed_not_searched(query: str, values: dict[str, str]) -> None:
    assert parse_query(query) == values


@pytest.mark.parametrize("text", ["%ff", "%C3", "\xff", "%ED%A0%80"])
def test_what_is_not_utf8_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        percent_decoded(text)
    with pytest.raises(InvalidArgument):
        parse_query("prefix=" + text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_key_survives_its_encoding(key: str) -> None:
    assert percent_decoded(percent_encoded(key)) == key
    assert parse_query("k=" + percent_encoded(key, safe="")) == {"k": key}


@given(st.text(st.characters(max_codepoint=255)))
def test_any_target_is_read_or_refused(text: str) -> None:
    for parse in (percent_decoded, parse_query):
        try:
            parse(text)
        except BridgeError as error:
            assert isinstance(error, InvalidArgument)  # noqa: PT017 - the other half of the cases raises nothing


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("plain", True),
        ("", True),
        ("tab\there", True),
        ("é", True),
        ("—", False),
        ("a\r\nSet-Cookie: x", False),
        ("a\nb", False),
        ("a\0b", False),
        ("\x7f", False),
        ("é\n", False),
    ],
)
def test_only_latin1_without_controls_is_a_header_value(text: str, allowed: bool) -> None:
    assert is_field_value(text) == allowed
