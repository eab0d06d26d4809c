"""AWS Signature Version 4, read and written.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
Paths and queries are raw: percent-encoded as on the wire. Times are arguments.
"""

from collections.abc import Mapping
from typing import NamedTuple

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Authorization(NamedTuple):
    """What a request claims about itself, in header or query."""

    access_key: str
    date: str
    """Day of the credential's scope: `20260101`."""
    region: str
    service: str
    amz_date: str
    """`20260101T000000Z`."""
    timestamp: float
    """`amz_date` in epoch seconds."""
    signed_headers: tuple[str, ...]
    """Lower case, as listed."""
    signature: str
    payload_hash: str
    """Hexadecimal SHA-256, UNSIGNED-PAYLOAD or one of STREAMING-…"""
    expires: int | None = None
    """Seconds from `timestamp`; None unless presigned."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse(query: str, headers: Mapping[str, str]) -> Authorization:
    """What the request carries, in header or query.

    Raises MissingCredentials when it is anonymous, UnsupportedSignature for SigV2 and SigV4A, InvalidArgument when
    it carries both, and whatever `parse_header` and `parse_query` raise.
    """
    raise NotImplementedError


def is_presigned(query: str) -> bool:
    """Whether the query carries a Signature Version 4."""
    raise NotImplementedError


def parse_header(headers: Mapping[str, str]) -> Authorization:
    """Reads `authorization`, `x-amz-date` or `date`, and `x-amz-content-sha256`.

    Raises MissingCredentials, MalformedCredentials (reason `authorization_header_malformed`), UnsupportedSignature,
    AccessDenied (no valid date, or x-amz-* headers that are not signed, named in `HeadersNotSigned`), InvalidRequest
    (no payload hash) or InvalidArgument (an unknown one).
    """
    raise NotImplementedError


def parse_query(query: str, headers: Mapping[str, str]) -> Authorization:
    """Reads the X-Amz-* parameters of a presigned request.

    Raises MalformedCredentials (reason `authorization_query_malformed`), UnsupportedSignature, or AccessDenied for
    x-amz-* headers that are not signed (checklist 20). Whether it is in time is the caller's to check.
    """
    raise NotImplementedError


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], auth: Authorization, host: str | None = None
) -> bytes:
    """The text whose hash is signed. `host` replaces the Host header, for clients that knew the node by another name.

    Raises SignatureMismatch when a header is listed as signed and absent.
    """
    raise NotImplementedError


def signature(key: bytes, auth: Authorization, canonical: bytes) -> str:
    """The hexadecimal signature that `auth.signature` must equal, to be compared in constant time."""
    raise NotImplementedError


def string_to_sign(auth: Authorization, canonical: bytes) -> bytes:
    raise NotImplementedError


def sign_text(key: bytes, text: bytes) -> str:
    """Hexadecimal HMAC-SHA256; a form upload signs its base64 policy by it."""
    raise NotImplementedError


def signing_key(secret: str, date: str, region: str, service: str = "s3") -> bytes:
    """The key derived from a secret for one day, region and service."""
    raise NotImplementedError


class SigningKeys:
    """Derived keys, kept for reuse; at most `limit` of them."""

    def __init__(self, limit: int = 4096) -> None: ...

    def get(self, access_key: str, secret: str, date: str, region: str, service: str = "s3") -> bytes:
        raise NotImplementedError


class Signer:
    """Signs requests with one credential for one region."""

    def __init__(self, access_key: str, secret: str, region: str, session_token: str = "", service: str = "s3") -> None: ...

    def sign(
        self,
        method: str,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        payload_hash: str,
        now: float,
    ) -> list[tuple[str, str]]:
        """`headers` (Host among them) with x-amz-date, x-amz-content-sha256 and Authorization added.

        `path` and `query` are raw and must go on the wire as they are given here.
        """
        raise NotImplementedError

    def presign(
        self, method: str, path: str, query: str, host: str, now: float, expires: int = 3600, headers: Mapping[str, str] = {}
    ) -> str:
        """The whole raw query of a presigned URL: `query` with the X-Amz-* parameters added."""
        raise NotImplementedError
