"""What single headers and query parameters say, and which of them the node refuses to ignore.

Raises InvalidArgument and its kin for values, NotSupported for meanings that are not offered.
"""

from collections.abc import Mapping
from functools import lru_cache

from bridge_node.checksums import ALGORITHMS, COMPOSITE, FULL_OBJECT
from bridge_node.errors import InvalidArgument, InvalidRequest, KeyTooLong, MetadataTooLarge, NotSupported
from bridge_node.objects import CONTENT_HEADERS, NO_CONDITIONS, NO_HEADERS, Checksum, Conditions
from bridge_node.operations import CopySource
from bridge_node.protocols.http import conditions, is_field_value, parse_http_date, percent_decoded

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
LONGEST_KEY = 1024
LARGEST_METADATA = 2048
LAST_PART = 10_000

OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
}
"""Query parameters that replace a header of the answer."""

_META = "x-amz-meta-"
_UNDERSTOOD = frozenset(
    {
        "x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type", "x-amz-content-sha256",
        "x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since",
        "x-amz-copy-source-if-none-match", "x-amz-copy-source-if-unmodified-since", "x-amz-copy-source-range",
        "x-amz-date", "x-amz-decoded-content-length", "x-amz-max-parts", "x-amz-metadata-directive",
        "x-amz-mp-object-size", "x-amz-object-attributes", "x-amz-optional-object-attributes",
        "x-amz-part-number-marker", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "x-amz-user-agent",
        *(f"x-amz-checksum-{algorithm}" for algorithm in ALGORITHMS),
    }
)  # fmt: skip
"""Headers that are obeyed where they mean something."""
_DEFAULTS: Mapping[str, frozenset[str]] = {
    "x-amz-acl": frozenset({"private", "bucket-owner-full-control"}),
    "x-amz-api-version": frozenset({"2006-03-01"}),
    "x-amz-bucket-object-lock-enabled": frozenset({"false", "False"}),
    "x-amz-object-ownership": frozenset({"BucketOwnerEnforced"}),
    "x-amz-request-payer": frozenset({"requester"}),
    "x-amz-storage-class": frozenset({"STANDARD"}),
    "x-amz-tagging": frozenset({""}),
    "x-amz-tagging-directive": frozenset({"COPY", "REPLACE"}),
}
"""Headers that may only ask for what happens anyway (promise 17)."""


def refuse_unknown_meanings(headers: Mapping[str, str]) -> None:
    """Encryption, locks, storage classes, grants: to ignore one would be a broken promise (checklist 30)."""
    for name in _not_understood(tuple(headers)):
        refuse_other_than_default(name, headers[name])


@lru_cache(maxsize=128)
def _not_understood(names: tuple[str, ...]) -> tuple[str, ...]:
    """Looked through once: a client sends the same headers all day."""
    return tuple(
        name for name in names if name.startswith("x-amz-") and name not in _UNDERSTOOD and not name.startswith(_META)
    )


def refuse_other_than_default(name: str, value: str) -> None:
    """Raises NotSupported unless the field asks for nothing."""
    if value not in _DEFAULTS.get(name, ()):
        raise NotSupported(
            "A header you provided implies functionality that is not implemented",
            reason="header_not_supported",
            Header=name,
        )


def checked_key(key: str) -> str:
    """Raises KeyTooLong above 1,024 bytes of UTF-8."""
    if len(key) > LONGEST_KEY // 4 and (size := len(key.encode())) > LONGEST_KEY:
        raise KeyTooLong(Size=str(size), MaxSizeAllowed=str(LONGEST_KEY))
    return key


# --- what is stored with an object ---------------------------------------------------------------------------------


def content_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The object's own content headers; `aws-chunked` describes the transfer only and is left out (checklist 3)."""
    content = {name: headers[name] for name in CONTENT_HEADERS if headers.get(name)}
    content.setdefault("content-type", DEFAULT_CONTENT_TYPE)
    if "content-encoding" in content:
        codings = [coding.strip() for coding in content.pop("content-encoding").split(",")]
        kept = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
        if kept:
            content["content-encoding"] = kept
    return content


def user_metadata(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Names without their prefix; raises MetadataTooLarge above 2 KB of names and values."""
    names = _of_metadata(tuple(headers))
    if not names:
        return NO_HEADERS
    metadata = {name[len(_META) :]: headers[name] for name in names}
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > LARGEST_METADATA:
        raise MetadataTooLarge(Size=str(size), MaxSizeAllowed=str(LARGEST_METADATA))
    return metadata


@lru_cache(maxsize=128)
def _of_metadata(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith(_META))


_OF_SIGNATURE = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_OF_FORM = frozenset({"key", "policy", "success_action_redirect", "redirect"})


def headers_of_form(form: Mapping[str, str]) -> Mapping[str, str]:
    """The fields of a form upload that are a PUT's headers, as the same bytes in a header would read."""
    headers = {
        name: value.encode().decode("latin-1")
        for name, value in form.items()
        if name not in _OF_SIGNATURE and name not in _OF_FORM
    }
    for name, value in headers.items():
        if not is_field_value(value):
            raise InvalidArgument("A form field cannot be kept as a header.", ArgumentName=name, reason="form_field")
    return headers


# --- conditions ----------------------------------------------------------------------------------------------------


def write_conditions(headers: Mapping[str, str]) -> Conditions:
    """If-Match, or If-None-Match with `*`, as S3 has them for writes; NotSupported for what it would ignore."""
    given = conditions(headers)
    if given is NO_CONDITIONS:
        return given
    by_time = given.if_modified_since is not None or given.if_unmodified_since is not None
    both = bool(given.if_match and given.if_none_match)
    if by_time or both or given.if_none_match not in {(), ("*",)}:
        raise NotSupported(
            "A header you provided implies functionality that is not implemented", reason="write_condition"
        )
    return given


def if_range(headers: Mapping[str, str]) -> str | float | None:
    """The version that a range is wanted of; what is neither a strong tag nor a date names none (RFC 9110 §13.1.5)."""
    text = headers.get("if-range")
    if text is None or "range" not in headers:
        return None
    if text.startswith('"'):
        return text.strip('"')
    return parse_http_date(text) or ""


def copy_source(headers: Mapping[str, str]) -> CopySource:
    """`[/]bucket/key[?versionId=id]`: split before it is decoded, and decoded once (checklist 54)."""
    path, _, version = headers["x-amz-copy-source"].removeprefix("/").partition("?versionId=")
    bucket, _, key = path.partition("/")
    bucket, key = percent_decoded(bucket), percent_decoded(key)
    if not key and "/" in bucket:
        bucket, _, key = bucket.removeprefix("/").partition("/")
    if not bucket or not key or bucket.startswith("arn:"):
        raise InvalidArgument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source",
        )
    found = conditions(headers, "x-amz-copy-source-")
    return CopySource(bucket, checked_key(key), percent_decoded(version) or None, found)


# --- checksums -----------------------------------------------------------------------------------------------------


def checksum_algorithm(headers: Mapping[str, str]) -> str | None:
    """The algorithm that an upload or copy is to keep a checksum by."""
    name = headers.get("x-amz-checksum-algorithm")
    if name is None:
        return None
    if name.lower() not in ALGORITHMS:
        raise InvalidRequest(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            reason="checksum_algorithm",
        )
    return name.lower()


def checksum_is_composite(headers: Mapping[str, str], algorithm: str | None) -> bool | None:
    """What x-amz-checksum-type says; None where it is absent."""
    kind = headers.get("x-amz-checksum-type")
    if kind is None:
        return None
    allowed = {"FULL_OBJECT": FULL_OBJECT, "COMPOSITE": COMPOSITE}.get(kind)
    if allowed is None or algorithm not in allowed:
        raise InvalidRequest(
            f"The {kind} checksum type cannot be used with the {(algorithm or 'null').upper()} checksum algorithm.",
            reason="checksum_type",
        )
    return kind == "COMPOSITE"


def object_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The whole object's checksum as CompleteMultipartUpload declares it; `-N` marks a checksum of checksums."""
    named = [algorithm for algorithm in ALGORITHMS if f"x-amz-checksum-{algorithm}" in headers]
    if not named:
        return None
    if len(named) > 1:
        raise InvalidRequest("Expecting a single x-amz-checksum- header", reason="several_checksums")
    value, dash, _ = headers[f"x-amz-checksum-{named[0]}"].partition("-")
    composite = bool(dash) or headers.get("x-amz-checksum-type") == "COMPOSITE"
    return Checksum(named[0], value, composite)


# --- query parameters ----------------------------------------------------------------------------------------------


def count(values: Mapping[str, str], name: str, default: int, *, most: int | None = None) -> int:
    """A count that may be 0; what is above `most` is taken as `most` (checklist 36)."""
    text = values.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**31):
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text
        )
    return int(text) if most is None else min(int(text), most)


def part_number(values: Mapping[str, str]) -> int:
    """`partNumber`, 1 to 10,000."""
    text = values.get("partNumber", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LAST_PART):
        raise InvalidArgument(
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return int(text)


def version(values: Mapping[str, str]) -> str | None:
    """`versionId`; "" is refused, as a client that sends it lost an id on the way."""
    text = values.get("versionId")
    if text == "":
        raise InvalidArgument(
            "Version id cannot be the empty string", ArgumentName="versionId", ArgumentValue="", reason="empty_version"
        )
    return text


def check_overrides(values: Mapping[str, str]) -> None:
    """Refuses what cannot stand in a header (checklist 29)."""
    for name in OVERRIDES.keys() & values.keys():
        if not is_field_value(values[name]):
            raise InvalidArgument(
                "Header value cannot be represented using ISO-8859-1.", ArgumentName=name, reason="response_override"
            )


def check_encoding_type(values: Mapping[str, str]) -> None:
    if values.get("encoding-type", "url") != "url":
        raise InvalidArgument(
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=values["encoding-type"],
        )
