"""S3's error codes: one table, read forwards by the gateway and backwards by the backend.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Error.html
"""

from collections.abc import Mapping
from typing import NamedTuple

from bridge_node import errors
from bridge_node.errors import BridgeError
from bridge_node.objects import NO_HEADERS


class WireError(NamedTuple):
    """An error as S3 writes it. `extra` are further elements of the document, in order."""

    status: int
    code: str
    message: str
    extra: Mapping[str, str]


_TABLE: dict[type[BridgeError], tuple[int, str]] = {
    BridgeError: (500, "InternalError"),
    errors.NoSuchBucket: (404, "NoSuchBucket"),
    errors.NoSuchKey: (404, "NoSuchKey"),
    errors.NoSuchVersion: (404, "NoSuchVersion"),
    errors.NoSuchUpload: (404, "NoSuchUpload"),
    errors.BucketExists: (409, "BucketAlreadyExists"),
    errors.BucketOwnedByCaller: (409, "BucketAlreadyOwnedByYou"),
    errors.BucketNotEmpty: (409, "BucketNotEmpty"),
    errors.ConcurrentChange: (409, "ConditionalRequestConflict"),
    errors.PreconditionFailed: (412, "PreconditionFailed"),
    errors.NotModified: (304, "NotModified"),
    errors.Denied: (403, "AccessDenied"),
    errors.MalformedCredentials: (400, "AuthorizationHeaderMalformed"),
    errors.WrongRegion: (400, "AuthorizationHeaderMalformed"),
    errors.UnknownAccessKey: (403, "InvalidAccessKeyId"),
    errors.SignatureMismatch: (403, "SignatureDoesNotMatch"),
    errors.ClockSkewed: (403, "RequestTimeTooSkewed"),
    errors.UnsupportedSignature: (400, "InvalidRequest"),
    errors.InvalidRequest: (400, "InvalidRequest"),
    errors.InvalidArgument: (400, "InvalidArgument"),
    errors.InvalidBucketName: (400, "InvalidBucketName"),
    errors.KeyTooLong: (400, "KeyTooLongError"),
    errors.MetadataTooLarge: (400, "MetadataTooLarge"),
    errors.MalformedDocument: (400, "MalformedXML"),
    errors.MissingLength: (411, "MissingContentLength"),
    errors.InvalidPart: (400, "InvalidPart"),
    errors.InvalidPartOrder: (400, "InvalidPartOrder"),
    errors.PartTooSmall: (400, "EntityTooSmall"),
    errors.TooLarge: (400, "EntityTooLarge"),
    errors.UnknownMethod: (405, "MethodNotAllowed"),
    errors.InvalidRange: (416, "InvalidRange"),
    errors.BodyRefused: (400, "IncompleteBody"),
    errors.BadDigest: (400, "BadDigest"),
    errors.InvalidDigest: (400, "InvalidDigest"),
    errors.ContentHashMismatch: (400, "XAmzContentSHA256Mismatch"),
    errors.ChunkSignatureMismatch: (403, "SignatureDoesNotMatch"),
    errors.MalformedFraming: (400, "InvalidRequest"),
    errors.ClientTooSlow: (400, "RequestTimeout"),
    errors.NotSupported: (501, "NotImplemented"),
    errors.Overloaded: (503, "SlowDown"),
    errors.BackendFailure: (503, "ServiceUnavailable"),
    errors.BackendBusy: (503, "SlowDown"),
    errors.OutcomeUnknown: (500, "InternalError"),
}
"""A class that is not listed is written as the nearest of its bases."""

_BY_REASON: dict[str, tuple[int, str]] = {
    "authorization_query_malformed": (400, "AuthorizationQueryParametersError"),
    "missing_security_header": (400, "MissingSecurityHeader"),
    "malformed_trailer": (400, "MalformedTrailerError"),
    "invalid_checksum": (400, "InvalidRequest"),
    "malformed_form": (400, "MalformedPOSTRequest"),
    "form_fields_too_large": (400, "MaxPostPreDataLengthExceededError"),
    "form_without_file": (400, "IncorrectNumberOfFilesInPostRequest"),
    "malformed_policy": (400, "InvalidPolicyDocument"),
}
"""Where S3 has a code of its own for one reason of a class."""

_FAULTS: dict[int, str] = {
    400: "BadRequest",
    408: "RequestTimeout",
    411: "MissingContentLength",
    413: "EntityTooLarge",
    414: "RequestURITooLong",
    417: "ExpectationFailed",
    421: "MisdirectedRequest",
    431: "RequestHeaderSectionTooLarge",
    501: "NotImplemented",
    503: "SlowDown",
    505: "HttpVersionNotSupported",
}


def to_wire(error: BaseException, *, bucket: str = "", key: str = "", upload: str = "") -> WireError:
    """S3's form of any error; what is no BridgeError becomes InternalError without a word about it.

    `error.details` become extra elements, and `bucket`, `key` and `upload` name what does not exist. NotModified and
    InvalidRange carry what belongs in headers: see the classes.
    """
    if not isinstance(error, BridgeError):
        return WireError(500, "InternalError", errors.OutcomeUnknown.message, NO_HEADERS)
    status, code = _BY_REASON.get(error.reason) or _nearest(type(error))
    return WireError(status, code, error.message, {**_named(error, bucket, key, upload), **error.details})


def _nearest(kind: type[BridgeError]) -> tuple[int, str]:
    return next(_TABLE[base] for base in kind.__mro__ if base in _TABLE)


def _named(error: BridgeError, bucket: str, key: str, upload: str) -> Mapping[str, str]:
    match error:
        case errors.NoSuchKey() | errors.NoSuchVersion() if key:
            return {"Key": key}
        case errors.NoSuchBucket() | errors.BucketNotEmpty() | errors.InvalidBucketName() if bucket:
            return {"BucketName": bucket}
        case errors.NoSuchUpload() if upload:
            return {"UploadId": upload}
        case errors.InvalidRange(size=int(size)):
            return {"ActualObjectSize": str(size)}
    return NO_HEADERS


def fault_to_wire(status: int, reason: str, message: str) -> WireError:
    """S3's form of what the HTTP server could not read (gateway/http.HttpFault's fields)."""
    status, code = _BY_REASON.get(reason) or (status, _FAULTS.get(status, "BadRequest"))
    return WireError(status, code, message, NO_HEADERS)


# --- backwards -----------------------------------------------------------------------------------------------------

_MEANT_FOR_THE_CLIENT: dict[str, type[BridgeError]] = {
    _TABLE[kind][1]: kind
    for kind in (
        errors.NoSuchBucket, errors.NoSuchKey, errors.NoSuchVersion, errors.NoSuchUpload, errors.BucketExists,
        errors.BucketOwnedByCaller, errors.BucketNotEmpty, errors.ConcurrentChange, errors.PreconditionFailed,
        errors.InvalidRequest, errors.InvalidArgument, errors.InvalidBucketName, errors.KeyTooLong,
        errors.MetadataTooLarge, errors.InvalidPart, errors.InvalidPartOrder, errors.PartTooSmall, errors.TooLarge,
        errors.UnknownMethod, errors.NotSupported, errors.BackendBusy,
    )
}  # fmt: skip
"""Codes that mean the same to the client as to the node. Those about a body are not here: the node has checked the
body that it sends, so that the backend's complaint is about the way between them."""

_BACKEND_CODES: dict[str, type[BridgeError]] = {
    **_MEANT_FOR_THE_CLIENT,
    "OperationAborted": errors.ConcurrentChange,
    "InvalidObjectState": errors.AccessDenied,
    "RequestLimitExceeded": errors.BackendBusy,
    "ServiceUnavailable": errors.BackendBusy,
    "ThrottlingException": errors.BackendBusy,
    "TooManyRequests": errors.BackendBusy,
    "RequestTimeout": errors.BackendTimeout,
    "AccessDenied": errors.BackendRefused,
    "AuthorizationHeaderMalformed": errors.BackendRefused,
    "AuthorizationQueryParametersError": errors.BackendRefused,
    "ExpiredToken": errors.BackendRefused,
    "InvalidAccessKeyId": errors.BackendRefused,
    "InvalidToken": errors.BackendRefused,
    "RequestTimeTooSkewed": errors.BackendRefused,
    "SignatureDoesNotMatch": errors.BackendRefused,
}
_BACKEND_STATUSES: dict[int, type[BridgeError]] = {
    401: errors.BackendRefused,
    403: errors.BackendRefused,
    405: errors.UnknownMethod,
    408: errors.BackendTimeout,
    409: errors.ConcurrentChange,
    412: errors.PreconditionFailed,
    429: errors.BackendBusy,
    501: errors.NotSupported,
    503: errors.BackendBusy,
    504: errors.BackendTimeout,
}
_DOUBTFUL = frozenset({500, 502, 504})


def from_wire(
    status: int,
    code: str = "",
    message: str = "",
    extra: Mapping[str, str] = NO_HEADERS,
    *,
    absent: type[BridgeError] | None = None,
    written: bool = False,
) -> BridgeError:
    """What a backend's answer means.

    `code` is "" where there was no document (HEAD); `absent` then is what a bare 404 means, BackendMisbehaved by
    default (promise 10). Errors about the node's own credentials, permissions and clock become BackendRefused.
    `written` says that a write was sent whole: 500, 502 and 504 then leave it unknown (promise 3).
    """
    reason = f"backend_{status}_{code}".rstrip("_")
    if status == 304:
        return errors.NotModified()
    if status == 416 or code == "InvalidRange":
        size = extra.get("ActualObjectSize", "")
        return errors.InvalidRange(int(size) if size.isdecimal() else None)
    kind = _BACKEND_CODES.get(code)
    if kind in {errors.InvalidRequest, errors.InvalidArgument}:
        return kind(message or None, reason=reason)
    if kind is None:
        kind = _by_status(status, code, absent, written)
    return kind(reason=reason)


def _by_status(status: int, code: str, absent: type[BridgeError] | None, written: bool) -> type[BridgeError]:
    if status == 404 and code in {"", "404", "NotFound"} and absent is not None:
        return absent
    if written and status in _DOUBTFUL:
        return errors.OutcomeUnknown
    return _BACKEND_STATUSES.get(status, errors.BackendFailure if status >= 500 else errors.BackendMisbehaved)
