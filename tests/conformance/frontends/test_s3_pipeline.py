"""What the pipeline promises for every request: one record, one limit a key, no crash that a client sees."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bridge_node.backends.memory import MemoryBackend
from bridge_node.body import ByteSource, BytesSource
from bridge_node.catalog import CatalogHolder
from bridge_node.errors import BackendMisbehaved, BackendRefused, BackendTimeout, BackendUnreachable, OutcomeUnknown
from bridge_node.gateway.http import HttpFault, Request, Response, Sent
from bridge_node.gateway.pipeline import Pipeline
from bridge_node.gateway.s3.frontend import S3Frontend
from bridge_node.objects import ObjectStream
from bridge_node.operations import GetObject
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD
from bridge_node.settings import Gateway as GatewaySettings
from bridge_node.settings import Limits, S3Settings
from tests.conformance.frontends.harness import REGION, SECRET, Backends, Gateway, Recorder, catalog, running


class Broken(MemoryBackend):
    """A backend whose reads end as they are told to."""

    def __init__(self) -> None:
        super().__init__(("photos", "music", "secret"))
        self.before: BaseException | None = None
        self.source: ByteSource | None = None
        self.waiting = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        self.waiting.set()
        await self.go.wait()
        if self.before is not None:
            raise self.before
        stream = await super().get_object(bucket, op)
        return stream if self.source is None else replace(stream, source=self.source)


class Failing(BytesSource):
    """Hands out its bytes, and then raises."""

    def __init__(self, data: bytes, size: int, error: Exception) -> None:
        super().__init__(data)
        self.size = size
        self._error = error
        self.aborted = False

    def read_nowait(self) -> bytes:
        data = super().read_nowait()
        if not data:
            raise self._error
        return data

    def abort(self, error: BaseException) -> None:
        self.aborted = True


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
async def gateway(broken: Broken) -> AsyncIterator[Gateway]:
    # structlog's own way of printing a traceback reads files, which the event loop must not wait for.
    with capture_logs():
        async with running(backends={"store": broken}, limits=Limits(requests_per_key=2)) as fresh:
            await fresh.put("/photos/k", b"0123456789")
            yield fresh


# --- records -------------------------------------------------------------------------------------------------------


async def test_a_write_is_recorded_with_what_it_changed(gateway: Gateway) -> None:
    await gateway.call("PUT", "/photos/k", b"abc")
    usage = gateway.usage
    assert (usage.protocol, usage.operation, usage.repository, usage.bucket) == ("s3", "PutObject", "r-main", "photos")
    assert (usage.access_key, usage.status, usage.received, usage.sent) == ("WRITER", 200, 3, 0)
    assert (usage.size_change, usage.estimated, usage.aborted) == (3 - 10, False, False)
    await gateway.call("DELETE", "/photos/k")
    assert gateway.usage.size_change == -3


async def test_many_deletes_are_one_record(gateway: Gateway) -> None:
    await gateway.put("/photos/j", b"12345")
    before = len(gateway.recorder.usages)
    body = b"<Delete><Object><Key>k</Key></Object><Object><Key>j</Key></Object></Delete>"
    await gateway.call("POST", "/photos?delete", body)
    assert len(gateway.recorder.usages) == before + 1
    assert gateway.usage.size_change == -15


async def test_a_read_is_recorded_with_what_was_sent(gateway: Gateway) -> None:
    await gateway.call("GET", "/photos/k", headers=[("Range", "bytes=0-3")])
    usage = gateway.usage
    assert (usage.operation, usage.status, usage.sent, usage.size_change) == ("GetObject", 206, 4, 0)
    assert 0 < usage.first_byte_seconds <= usage.seconds


@pytest.mark.parametrize(
    ("method", "target", "more", "status", "operation"),
    [
        ("GET", "/photos/missing", {}, 404, "GetObject"),
        ("GET", "/photos/k", {"secret": "wrong"}, 403, "Unknown"),
        ("PUT", "/photos/k?acl", {}, 501, "Unknown"),
        ("DELETE", "/photos/k", {"key": "READER"}, 403, "DeleteObject"),
        ("GET", "/nowhere/k", {}, 404, "GetObject"),
    ],
)
async def test_a_refusal_is_recorded_once(
    gateway: Gateway, method: str, target: str, more: dict[str, str], status: int, operation: str
) -> None:
    before = len(gateway.recorder.usages)
    await gateway.call(method, target, **more)  # type: ignore[arg-type] # keywords of call
    assert len(gateway.recorder.usages) == before + 1
    assert (gateway.usage.status, gateway.usage.operation) == (status, operation)


async def test_a_name_that_somebody_made_up_is_no_bucket_in_the_records(gateway: Gateway) -> None:
    await gateway.call("GET", "/made-up/k")
    assert (gateway.usage.bucket, gateway.usage.access_key) == ("", "WRITER")


async def test_a_client_that_leaves_before_its_answer_is_recorded_as_499(gateway: Gateway, broken: Broken) -> None:
    broken.go.clear()
    broken.waiting.clear()
    asking = asyncio.ensure_future(gateway.call("GET", "/photos/k"))
    await broken.waiting.wait()
    before = len(gateway.recorder.usages)
    guests = [task for task in asyncio.all_tasks() if task.get_name().startswith("connection from")]
    for leaving in (*guests, asking):
        leaving.cancel()
    await asyncio.gather(*guests, asking, return_exceptions=True)
    assert len(gateway.recorder.usages) == before + 1
    assert (gateway.usage.status, gateway.usage.aborted) == (499, True)


# --- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BackendUnreachable(), 503, "ServiceUnavailable"),
        (BackendTimeout(), 503, "ServiceUnavailable"),
        (BackendRefused(), 503, "ServiceUnavailable"),
        (OutcomeUnknown(), 500, "InternalError"),
        (RuntimeError("secret path /etc/x"), 500, "InternalError"),
        (KeyError("secret"), 500, "InternalError"),
    ],
)
async def test_a_failure_is_an_error_and_never_absence(
    gateway: Gateway, broken: Broken, error: Exception, status: int, code: str
) -> None:
    broken.before = error
    answer = await gateway.call("GET", "/photos/k")
    assert (answer.status, answer.code) == (status, code)
    assert b"secret" not in answer.body
    assert (await gateway.call("HEAD", "/photos/k")).status == 200


async def test_a_read_that_fails_before_its_first_byte_is_still_told(gateway: Gateway, broken: Broken) -> None:
    broken.source = Failing(b"", 10, BackendTimeout())
    answer = await gateway.call("GET", "/photos/k")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert (gateway.usage.status, gateway.usage.aborted) == (503, False)


async def test_a_read_that_fails_later_breaks_the_connection(gateway: Gateway, broken: Broken) -> None:
    broken.source = Failing(b"01234", 10, BackendMisbehaved(reason="short"))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await gateway.call("GET", "/photos/k")
    assert (gateway.usage.status, gateway.usage.sent, gateway.usage.aborted) == (200, 5, True)


async def test_a_header_that_cannot_be_sent_is_an_internal_error_and_frees_the_stream(
    gateway: Gateway, broken: Broken
) -> None:
    source = Failing(b"01234", 10, BackendMisbehaved())
    stream = await broken.get_object("photos", GetObject("", "k"))
    info = replace(stream.info, content={"content-type": "a\r\nb"})
    broken.source = source

    async def poisoned(bucket: str, op: GetObject) -> ObjectStream:
        return ObjectStream(info, source, 0, 10)

    broken.get_object = poisoned  # type: ignore[method-assign] # this backend answers with one object only
    answer = await gateway.call("GET", "/photos/k")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert source.aborted


# --- limits --------------------------------------------------------------------------------------------------------


async def test_one_key_may_not_take_the_whole_node(gateway: Gateway, broken: Broken) -> None:
    broken.go.clear()
    waiting = [asyncio.ensure_future(gateway.call("GET", "/photos/k")) for _ in range(2)]
    await asyncio.sleep(0.05)
    answer = await gateway.call("HEAD", "/photos/k")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (await gateway.call("HEAD", "/photos/k", key="READER")).status == 200
    broken.go.set()
    assert [each.status for each in await asyncio.gather(*waiting)] == [200, 200]
    assert (await gateway.call("HEAD", "/photos/k")).status == 200


# --- logs ----------------------------------------------------------------------------------------------------------


async def test_a_refusal_has_a_reason_and_the_hash_of_what_was_signed(gateway: Gateway) -> None:
    with capture_logs() as lines:
        answer = await gateway.call("GET", "/photos/private-name", secret="wrong")
    (line,) = lines
    assert (line["event"], line["log_level"], line["reason"]) == ("request_refused", "info", "signature_mismatch")
    assert line["request_id"] == answer.headers["x-amz-request-id"]
    assert len(line["canonical_sha256"]) == 64
    assert "host" in line["signed_headers"]
    assert line["canonical_sha256"] not in answer.body.decode()


async def test_no_line_at_info_tells_a_key_a_secret_or_a_signature(gateway: Gateway) -> None:
    with capture_logs() as lines:
        await gateway.call("GET", "/photos/private-name", secret="wrong")
        await gateway.call("PUT", "/photos/private-name?acl", b"")
        await gateway.call("PUT", "/photos/private-name", b"x", key="READER")
        await gateway.call("PUT", "/photos/private-name", b"x", payload_hash="0" * 64)
    assert [line["log_level"] for line in lines] == ["info"] * 4
    for line in lines:
        text = str(line)
        assert "private-name" not in text
        assert SECRET not in text
        assert "Signature=" not in text


async def test_success_is_not_logged_and_absence_only_for_debugging(gateway: Gateway) -> None:
    with capture_logs() as lines:
        await gateway.call("GET", "/photos/k")
        await gateway.call("GET", "/photos/missing")
    assert [(line["event"], line["log_level"]) for line in lines] == [("request_answered", "debug")]


async def test_a_crash_is_logged_with_its_request_id(gateway: Gateway, broken: Broken) -> None:
    broken.before = RuntimeError("boom")
    with capture_logs() as lines:
        answer = await gateway.call("GET", "/photos/k")
    (line,) = lines
    assert (line["event"], line["request_id"]) == ("request_crashed", answer.headers["x-amz-request-id"])
    assert line["exc_info"] is broken.before


async def test_a_fault_of_the_http_layer_has_the_protocols_form(gateway: Gateway) -> None:
    answer = await gateway.send(b"GET /photos HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert answer.status == 400
    assert answer.code
    assert answer.headers["content-type"] == "application/xml"
    assert answer.element("RequestId") == answer.headers["x-amz-request-id"]


# --- the access log ------------------------------------------------------------------------------------------------


class Lines:
    """An AccessLog that remembers."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int, str]] = []

    def write(self, request: Request, usage: object, error_code: str = "") -> None:
        self.written.append((request.path, getattr(usage, "status"), error_code))  # noqa: B009 - any usage


class Collected:
    """A Responder that keeps what it is given."""

    def __init__(self) -> None:
        self.response: Response | None = None

    async def send(self, response: Response, sent: Sent) -> None:
        self.response = response
        sent.complete = True


async def test_the_access_log_gets_a_line_a_request_with_the_protocols_error_code() -> None:
    lines, limits = Lines(), Limits()
    frontend = S3Frontend(S3Settings(region=REGION), GatewaySettings(), limits)
    pipeline = Pipeline(frontend, CatalogHolder(catalog()), Backends({}), Recorder(), limits, access_log=lines)
    for path in ("/health", "/photos/k"):
        request = Request("GET", path, "", {"host": "a"}, BytesSource(b""), id="1", peer="192.0.2.1", local_port=9000)
        await pipeline.answer(request, Collected())
    assert lines.written == [("/health", 200, ""), ("/photos/k", 403, "AccessDenied")]


def test_a_fault_becomes_the_frontends_error() -> None:
    limits = Limits()
    frontend = S3Frontend(S3Settings(region=REGION), GatewaySettings(), limits)
    pipeline = Pipeline(frontend, CatalogHolder(catalog()), Backends({}), Recorder(), limits)
    response = pipeline.fault(HttpFault(431, "too_many_fields", "Too many"), "ID", "192.0.2.1")
    assert response.status == 431
    assert ("x-amz-request-id", "ID") in response.headers


async def test_a_body_that_is_broken_off_stores_nothing_and_is_recorded(gateway: Gateway) -> None:
    path = "/photos/half"
    headers = [("Content-Length", "100")]
    answering = asyncio.ensure_future(gateway.call("PUT", path, headers=headers, payload_hash=UNSIGNED_PAYLOAD))
    await asyncio.sleep(0.05)
    answering.cancel()
    await asyncio.sleep(0.05)
    assert (await gateway.call("HEAD", path)).status == 404
    puts = [usage for usage in gateway.recorder.usages if usage.operation == "PutObject"]
    assert puts[-1].aborted or puts[-1].status == 400
