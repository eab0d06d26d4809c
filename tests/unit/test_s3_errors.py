"""One table of S3's error codes: what the gateway writes, and what the backend makes of what it reads."""

import pytest

from bridge_node import errors
from bridge_node.errors import BridgeError
from bridge_node.protocols.s3.errors import WireError, fault_to_wire, from_wire, to_wire


def _all(kind: type[BridgeError]) -> set[type[BridgeError]]:
    return {kind}.union(*(_all(sub) for sub in kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(_all(BridgeError), key=str))
def test_every_error_has_a_status_and_a_code(kind: type[BridgeError]) -> None:
    wire = to_wire(kind())
    assert 300 <= wire.status < 600
    assert wire.code.isalnum()
    assert wire.message


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NoSuchKey(), 404, "NoSuchKey"),
        (errors.PreconditionFailed(), 412, "PreconditionFailed"),
        (errors.MissingCredentials(), 403, "AccessDenied"),
        (errors.RequestExpired(), 403, "AccessDenied"),
        (errors.ClockSkewed(), 403, "RequestTimeTooSkewed"),
        (errors.ChunkSignatureMismatch(), 403, "SignatureDoesNotMatch"),
        (errors.ContentHashMismatch(), 400, "XAmzContentSHA256Mismatch"),
        (errors.MissingLength(), 411, "MissingContentLength"),
        (errors.NotSupported(), 501, "NotImplemented"),
        (errors.Overloaded(), 503, "SlowDown"),
        (errors.BackendTimeout(), 503, "ServiceUnavailable"),
        (errors.BackendBusy(), 503, "SlowDown"),
        (errors.OutcomeUnknown(), 500, "InternalError"),
        (errors.MalformedCredentials(reason="authorization_query_malformed"), 400, "AuthorizationQueryParametersError"),
        (errors.MalformedFraming(reason="malformed_trailer"), 400, "MalformedTrailerError"),
    ],
)
def test_errors_are_written_as_s3_writes_them(error: BridgeError, status: int, code: str) -> None:
    assert to_wire(error)[:2] == (status, code)


def test_an_unexpected_exception_says_nothing_about_itself() -> None:
    wire = to_wire(RuntimeError("secret"))
    assert wire[:2] == (500, "InternalError")
    assert "secret" not in wire.message


def test_what_does_not_exist_is_named() -> None:
    assert to_wire(errors.NoSuchKey(), bucket="b", key="k").extra == {"Key": "k"}
    assert to_wire(errors.NoSuchBucket(), bucket="b", key="k").extra == {"BucketName": "b"}
    assert to_wire(errors.NoSuchUpload(), key="k", upload="u").extra == {"UploadId": "u"}
    assert to_wire(errors.InvalidRange(7), key="k").extra == {"ActualObjectSize": "7"}
    assert to_wire(errors.InvalidRange()).extra == {}


def test_details_become_elements() -> None:
    assert to_wire(errors.WrongRegion("wrong", Region="eu-west-1")) == WireError(
        400, "AuthorizationHeaderMalformed", "wrong", {"Region": "eu-west-1"}
    )


@pytest.mark.parametrize("status", [400, 408, 411, 413, 414, 417, 421, 431, 501, 503, 505])
def test_every_fault_of_the_server_has_a_code(status: int) -> None:
    wire = fault_to_wire(status, "some_reason", "why")
    assert wire[:1] == (status,)
    assert wire.code.isalnum()
    assert wire.message == "why"


# --- backwards -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        errors.NoSuchBucket,
        errors.NoSuchKey,
        errors.NoSuchVersion,
        errors.NoSuchUpload,
        errors.BucketExists,
        errors.BucketOwnedByCaller,
        errors.BucketNotEmpty,
        errors.ConcurrentChange,
        errors.PreconditionFailed,
        errors.InvalidArgument,
        errors.InvalidBucketName,
        errors.KeyTooLong,
        errors.MetadataTooLarge,
        errors.InvalidPart,
        errors.InvalidPartOrder,
        errors.PartTooSmall,
        errors.TooLarge,
        errors.InvalidRange,
        errors.NotModified,
        errors.NotSupported,
        errors.UnknownMethod,
        errors.BackendBusy,
    ],
)
def test_what_one_node_writes_another_reads(kind: type[BridgeError]) -> None:
    wire = to_wire(kind())
    assert type(from_wire(*wire)) is kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", errors.BackendRefused),
        (403, "SignatureDoesNotMatch", errors.BackendRefused),
        (403, "InvalidAccessKeyId", errors.BackendRefused),
        (403, "RequestTimeTooSkewed", errors.BackendRefused),
        (403, "SomethingNew", errors.BackendRefused),
        (403, "", errors.BackendRefused),
        (400, "ExpiredToken", errors.BackendRefused),
        (400, "AuthorizationHeaderMalformed", errors.BackendRefused),
        (400, "BadDigest", errors.BackendMisbehaved),
        (400, "MalformedXML", errors.BackendMisbehaved),
        (400, "RequestTimeout", errors.BackendTimeout),
        (403, "InvalidObjectState", errors.AccessDenied),
        (409, "OperationAborted", errors.ConcurrentChange),
        (409, "", errors.ConcurrentChange),
        (412, "", errors.PreconditionFailed),
        (429, "", errors.BackendBusy),
        (500, "InternalError", errors.BackendFailure),
        (502, "", errors.BackendFailure),
        (503, "ServiceUnavailable", errors.BackendBusy),
        (504, "", errors.BackendTimeout),
        (301, "PermanentRedirect", errors.BackendMisbehaved),
        (418, "", errors.BackendMisbehaved),
    ],
)
def test_an_answer_means_one_thing(status: int, code: str, kind: type[BridgeError]) -> None:
    assert type(from_wire(status, code)) is kind


def test_only_a_backend_that_says_so_makes_a_key_absent() -> None:
    assert type(from_wire(404, "NoSuchKey")) is errors.NoSuchKey
    assert type(from_wire(404)) is errors.BackendMisbehaved
    assert type(from_wire(404, "NoSuchThing", absent=errors.NoSuchKey)) is errors.BackendMisbehaved
    assert type(from_wire(404, absent=errors.NoSuchKey)) is errors.NoSuchKey
    for status in (403, 500, 503):
        assert not isinstance(from_wire(status, absent=errors.NoSuchKey), errors.NotFound)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_doubtful_answer_to_a_write_leaves_it_unknown(status: int) -> None:
    assert type(from_wire(status, written=True)) is errors.OutcomeUnknown
    assert isinstance(from_wire(status), errors.BackendFailure)
    assert type(from_wire(503, written=True)) is errors.BackendBusy


def test_the_size_of_the_object_comes_with_a_bad_range() -> None:
    error = from_wire(416, "InvalidRange", extra={"ActualObjectSize": "10"})
    assert isinstance(error, errors.InvalidRange)
    assert error.size == 10


def test_a_backends_words_reach_the_client_only_where_they_are_about_its_request() -> None:
    assert from_wire(400, "InvalidArgument", "bad tag").message == "bad tag"
    assert "host-7" not in from_wire(500, "InternalError", "host-7 is down").message
    assert "arn:aws" not in from_wire(403, "AccessDenied", "arn:aws:iam::1:user/node is not authorized").message
