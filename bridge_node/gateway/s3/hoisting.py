"""Headers that a presigned request carries in its query.

The presigners of the SDKs for JavaScript and Go move `x-amz-` headers there, so that whoever uses the URL need not
send them: there they mean what they mean as headers, and are obeyed or refused as such.
"""

from collections.abc import Mapping

from bridge_node.checksums import ALGORITHMS
from bridge_node.errors import InvalidArgument
from bridge_node.protocols.http import is_field_value

_SIGNATURE = "X-Amz-Signature"
_OF_SIGNATURE = frozenset(
    {
        "x-amz-algorithm", "x-amz-content-sha256", "x-amz-credential", "x-amz-date", "x-amz-expires",
        "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
    }
)  # fmt: skip
_OF_BODY = frozenset(
    {
        "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-trailer",
        *(f"x-amz-checksum-{algorithm}" for algorithm in ALGORITHMS),
    }
)  # fmt: skip
"""About a body that the signer did not have: the SDK for JavaScript adds the checksum of an empty one to every URL
that it signs for an upload. S3 ignores these in a query (aws-sdk-go-v2 #2610, localstack #12169)."""


def with_hoisted(headers: Mapping[str, str], values: Mapping[str, str]) -> Mapping[str, str]:
    """`headers` and those among the decoded query parameters `values`, if these are of a presigned request."""
    if _SIGNATURE not in values:
        return headers
    hoisted: dict[str, str] = {}
    for parameter, text in values.items():
        name = parameter.lower()
        if name.startswith("x-amz-") and name not in _OF_SIGNATURE and name not in _OF_BODY:
            if name in hoisted or name in headers or not is_field_value(_as_field(text)):
                raise InvalidArgument("A header in the query is no header.", ArgumentName=name, reason="hoisted_header")
            hoisted[name] = _as_field(text)
    return {**headers, **hoisted} if hoisted else headers


def _as_field(text: str) -> str:
    """As the same bytes in a header would read."""
    return text.encode().decode("latin-1")
