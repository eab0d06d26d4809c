"""What can go wrong, one class per meaning.

No class knows a status or a wire code: `protocols/*/errors.py` hold one table per protocol, read forwards by the
gateway (class → answer) and backwards by the backends (answer → class).

    BridgeError
    ├── NotFound: NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload
    ├── Conflict: BucketExists, BucketOwnedByCaller, BucketNotEmpty, ConcurrentChange
    ├── ConditionFailed: PreconditionFailed, NotModified
    ├── Denied: AccessDenied (RepositoryDisabled)
    │   └── AuthenticationFailed: MissingCredentials, MalformedCredentials, WrongRegion, UnknownAccessKey,
    │       SignatureMismatch, ClockSkewed, RequestExpired, UnsupportedSignature
    ├── InvalidRequest: InvalidArgument, InvalidBucketName, KeyTooLong, MetadataTooLarge, MalformedDocument,
    │   │   MissingLength, InvalidPart, InvalidPartOrder, PartTooSmall, TooLarge, UnknownMethod
    │   └── InvalidRange
    ├── BodyRefused: IncompleteBody, BadDigest, InvalidDigest, ContentHashMismatch, ChunkSignatureMismatch,
    │       MalformedFraming, ClientGone, ClientTooSlow
    ├── NotSupported
    ├── Overloaded
    ├── BackendFailure: BackendUnreachable, BackendTimeout, BackendRefused, BackendBusy, BackendMisbehaved
    ├── StoredWrongly
    └── OutcomeUnknown
"""

from collections.abc import Mapping
from functools import cache


class BridgeError(Exception):
    """Root of every error that this package raises on purpose.

    `message` is for the client and names no secret, no host and no path of the node. `reason` is a short snake_case
    code for logs and metrics. `details` are extra facts that a protocol may render (S3 writes them as XML elements);
    `evidence` is what only the log line may tell.
    """

    message = "The request could not be served."

    def __init__(self, message: str | None = None, *, reason: str | None = None, **details: str) -> None:
        super().__init__(message or self.message)
        if message is not None:
            self.message = message
        self.reason = reason or _snake_case(type(self).__name__)
        self.details: Mapping[str, str] = details
        self.evidence: Mapping[str, str] = {}


@cache
def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class NotFound(BridgeError):
    """The thing named does not exist, and the backend said so in as many words."""


class NoSuchBucket(NotFound):
    message = "The specified bucket does not exist"


class NoSuchKey(NotFound):
    """The only error that means "absent" (promise 10)."""

    message = "The specified key does not exist."

    def __init__(
        self, message: str | None = None, *, reason: str | None = None, delete_marker: str | None = None, **details: str
    ) -> None:
        super().__init__(message, reason=reason, **details)
        self.delete_marker = delete_marker
        """Version id of the delete marker that hides the key, where the backend has versions."""


class NoSuchVersion(NotFound):
    message = "The specified version does not exist."


class NoSuchUpload(NotFound):
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed."
    )


class Conflict(BridgeError):
    """The state of the bucket or key forbids it."""


class BucketExists(Conflict):
    message = "The requested bucket name is not available."


class BucketOwnedByCaller(Conflict):
    message = "The bucket you tried to create already exists, and you own it."


class BucketNotEmpty(Conflict):
    message = "The bucket you tried to delete is not empty"


class ConcurrentChange(Conflict):
    """A conditional write met another writer and neither condition can be decided."""

    message = "The conditional request cannot succeed due to a conflicting operation against this resource."


class ConditionFailed(BridgeError):
    """A condition of the request does not hold."""


class PreconditionFailed(ConditionFailed):
    message = "At least one of the pre-conditions you specified did not hold"


class NotModified(ConditionFailed):
    """The client's copy is current. `etag` and `last_modified` (epoch seconds) go into the answer."""

    message = "Not Modified"

    def __init__(self, etag: str = "", last_modified: float = 0.0, *, version_id: str | None = None) -> None:
        super().__init__()
        self.etag = etag
        self.last_modified = last_modified
        self.version_id = version_id


class Denied(BridgeError):
    """Who asks is known or not, and may not."""


class AccessDenied(Denied):
    message = "Access Denied"


class RepositoryDisabled(AccessDenied):
    message = "This repository is disabled: it can be read, and not changed."


class AuthenticationFailed(Denied):
    """Who asks could not be established."""


class MissingCredentials(AuthenticationFailed):
    message = "Access Denied"


class MalformedCredentials(AuthenticationFailed):
    """The authorization header, query parameters or form fields cannot be read; `reason` says which."""

    message = "The authorization header that you provided is not valid."


class WrongRegion(AuthenticationFailed):
    """Signed for another region; `details["Region"]` names the right one."""


class UnknownAccessKey(AuthenticationFailed):
    message = "The AWS Access Key Id you provided does not exist in our records."


class SignatureMismatch(AuthenticationFailed):
    message = (
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method."
    )


class ClockSkewed(AuthenticationFailed):
    message = "The difference between the request time and the current time is too large."


class RequestExpired(AuthenticationFailed):
    message = "Request has expired"


class UnsupportedSignature(AuthenticationFailed):
    message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."


class InvalidRequest(BridgeError):
    """The request contradicts the protocol."""

    message = "Invalid Request"


class InvalidArgument(InvalidRequest):
    message = "Invalid Argument"


class InvalidBucketName(InvalidRequest):
    message = "The specified bucket is not valid."


class KeyTooLong(InvalidRequest):
    message = "Your key is too long"


class MetadataTooLarge(InvalidRequest):
    message = "Your metadata headers exceed the maximum allowed metadata size"


class MalformedDocument(InvalidRequest):
    """An XML or form document that cannot be read or breaks its schema."""

    message = "The XML you provided was not well-formed or did not validate against our published schema"


class MissingLength(InvalidRequest):
    message = "You must provide the Content-Length HTTP header."


class InvalidPart(InvalidRequest):
    message = (
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag."
    )


class InvalidPartOrder(InvalidRequest):
    message = "The list of parts was not in ascending order. Parts must be ordered by part number."


class PartTooSmall(InvalidRequest):
    message = "Your proposed upload is smaller than the minimum allowed size"


class TooLarge(InvalidRequest):
    message = "Your proposed upload exceeds the maximum allowed size"


class UnknownMethod(InvalidRequest):
    message = "The specified method is not allowed against this resource."


class InvalidRange(InvalidRequest):
    """The range starts beyond the end; `size` is the object's size in bytes, or None where it is not known."""

    message = "The requested range is not satisfiable"

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.size = size


class BodyRefused(BridgeError):
    """The body is not what was announced. Nothing of it may become visible (promise 2)."""


class IncompleteBody(BodyRefused):
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"


class BadDigest(BodyRefused):
    message = "The Content-MD5 or checksum value that you specified did not match what the server received."


class InvalidDigest(BodyRefused):
    message = "The Content-MD5 or checksum value that you specified is not valid."


class ContentHashMismatch(BodyRefused):
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."


class ChunkSignatureMismatch(BodyRefused):
    message = SignatureMismatch.message


class MalformedFraming(BodyRefused):
    """Chunk headers, trailers or form boundaries that cannot be read."""

    message = "The body's framing is not well-formed."


class ClientGone(BodyRefused):
    """The client closed its connection in mid-request; nobody is left to answer."""

    message = "The client closed the connection."


class ClientTooSlow(BodyRefused):
    message = "Your socket connection to the server was not read from or written to within the timeout period."


class NotSupported(BridgeError):
    """Understood, and not offered here; never answered by doing something less."""

    message = "A header or query you provided implies functionality that is not implemented."


class Overloaded(BridgeError):
    """A limit of this node or of the backend's budget is reached; the client should come back later."""

    message = "Please reduce your request rate."


class BackendFailure(BridgeError):
    """The backend did not do it, and nothing was changed there by us."""

    message = "Service is unable to handle request."


class BackendUnreachable(BackendFailure):
    """No connection, a refused address, a failed TLS handshake."""


class BackendTimeout(BackendFailure):
    """Connected, and silent for longer than allowed."""


class BackendRefused(BackendFailure):
    """The backend refuses the node's own credentials or permissions: an error, never "absent" (promise 10)."""

    message = "The node's access to the backend was refused."


class BackendBusy(BackendFailure):
    """The backend asks to slow down."""

    message = Overloaded.message


class BackendMisbehaved(BackendFailure):
    """An answer that breaks its protocol: a wrong length, a truncated body, an unreadable document."""


class StoredWrongly(BridgeError):
    """The backend acknowledged other bytes than were sent; that version was removed again (promise 1)."""

    message = "We encountered an internal error. Please try again."


class OutcomeUnknown(BridgeError):
    """The whole request was sent and its answer was lost: it may still take effect (promise 3)."""

    message = "We encountered an internal error. Please try again."
