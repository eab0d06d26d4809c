"""HTTP values that mean the same for every protocol: dates, entity tags, ranges, conditions, queries.

RFC 9110 unless said otherwise. Headers are mappings of lower-case names to values.
"""

from collections.abc import Mapping

from bridge_node.objects import ByteRange, Conditions


def http_date(timestamp: float) -> str:
    """Epoch seconds as IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    raise NotImplementedError


def parse_http_date(text: str) -> float | None:
    """Epoch seconds of any of the three forms of RFC 9110 §5.6.7, or None for anything else."""
    raise NotImplementedError


def quoted(etag: str) -> str:
    """An etag as headers and documents carry it."""
    return f'"{etag}"'


def unquoted(etag: str) -> str:
    """The opaque part of one entity tag: without quotes, without `W/`."""
    raise NotImplementedError


def parse_etags(text: str) -> tuple[str, ...]:
    """The tags of an If-Match or If-None-Match value, without quotes and `W/`; `*` stands for itself."""
    raise NotImplementedError


def parse_range(text: str) -> ByteRange | None:
    """A single byte range; None for what is ignored: other units, several ranges, bad syntax (checklist 70)."""
    raise NotImplementedError


def parse_copy_range(text: str) -> ByteRange:
    """`bytes=first-last`, as x-amz-copy-source-range must be; raises InvalidArgument for anything else."""
    raise NotImplementedError


def conditions(headers: Mapping[str, str], prefix: str = "") -> Conditions:
    """Conditions of a request; `prefix` is `x-amz-copy-source-` for those on a copy's source.

    A date that cannot be read is ignored, as RFC 9110 §13.1.3 asks.
    """
    raise NotImplementedError


def parse_query(query: str) -> dict[str, str]:
    """Decoded names and values; a name without `=` has the value "". The first of a repeated name counts.

    `+` is a space. Raises InvalidArgument for what is not UTF-8.
    """
    raise NotImplementedError


def percent_decoded(text: str) -> str:
    """A path or a part of it as text; `+` stays. Raises InvalidArgument for what is not UTF-8."""
    raise NotImplementedError


def percent_encoded(text: str, safe: str = "/") -> str:
    """UTF-8 bytes in upper-case escapes, all but RFC 3986's unreserved characters and `safe`."""
    raise NotImplementedError


def is_field_value(text: str) -> bool:
    """Whether `text` can be a header's value: Latin-1, without CR, LF, NUL and other controls."""
    raise NotImplementedError


def attachment(filename: str) -> str:
    """A Content-Disposition value for any file name (RFC 6266), safe to put in a header."""
    raise NotImplementedError
