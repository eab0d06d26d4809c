"""Messages between node and platform: tolerant about names, strict about bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node import messages
from bridge_node.messages import BadMessage, BucketStatus, ConfigRequest, Registration, StatusReport, UsageRow

REGISTRATION = {"ip": "203.0.113.7", "region": "eu-west-1", "timestamp": 1770000000, "signature": "b64", "id_org": "o"}


@pytest.mark.parametrize("written", ["1770000000", "1770000000.50", '"2026-02-01T00:00:00Z"', "1.77e9"])
def test_a_timestamp_keeps_the_text_it_was_sent_as(written: str) -> None:
    body = json.dumps(REGISTRATION).replace("1770000000", written).encode()
    assert Registration.decode(body).timestamp == written.strip('"')


def test_both_names_of_a_field_are_read_and_one_is_written() -> None:
    old = BucketStatus.decode(b'{"unitId":"b","status":"ONLINE","latencyMs":18,"createdAt":"2026-02-02T02:42:00.000Z"}')
    new = BucketStatus.decode(
        b'{"bucketId":"b","status":"ONLINE","latency_ms":18,"createdAt":"2026-02-02T02:42:00.000Z"}'
    )
    assert old == new
    assert json.loads(old.encode()).keys() == {"unitId", "status", "latencyMs", "createdAt"}
    assert Registration.decode(json.dumps({"ip": "a", "org_id": "o"}).encode()).id_org == "o"


def test_a_message_survives_its_own_encoding() -> None:
    row = UsageRow(minute=60, repoId="r", bucketId="b", apiKeyId="k", protocol="s3", requests=2, size_change=-5)
    report = StatusReport(ip="a", usage=(row,), batchId="batch")
    assert StatusReport.decode(report.encode()) == report


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"ip":""}',
        b'{"ip":"a","nodeServices":-1}',
        b'{"ip":"a","nodeServices":NaN}',
        b"[" * 100_000,
        json.dumps({"ip": "a" * 300}).encode(),
    ],
)
def test_a_malformed_message_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        Registration.decode(body)
    assert "aaa" not in str(refused.value)


def test_a_node_cannot_ask_to_wait_longer_than_a_poll_may_hang() -> None:
    with pytest.raises(BadMessage):
        ConfigRequest.decode(b'{"waitSeconds": 56}')


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes_give_a_message_or_bad_message(body: bytes) -> None:
    try:
        StatusReport.decode(body)
    except BadMessage:
        return


@given(st.recursive(st.none() | st.booleans() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
def test_a_name_is_a_string_and_nothing_else(value: object) -> None:
    with pytest.raises(BadMessage):
        StatusReport.decode(json.dumps({"ip": value}).encode())


def test_the_digest_of_a_document_is_its_sha256_in_hex() -> None:
    assert messages.digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
