"""Registering as the vendor's nodes do: contract §5, and what its signatures are good for (node-protocol §2)."""

import asyncio
import base64
from typing import Any

import pytest

from bridge_node.crypto import orgkey
from bridge_node.platform.models import nodes
from tests.platform.world import PlatformUnderTest, VendorNode


@pytest.fixture
async def node(here: PlatformUnderTest) -> VendorNode:
    return VendorNode(here, await here.new_key())


async def listed(here: PlatformUnderTest, **who: str) -> list[dict[str, Any]]:
    answer = await here.call("GET", f"/organization/{who.get('organisation', 'org-1')}/nodes", **who)
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def test_a_node_registers_and_is_listed(here: PlatformUnderTest, node: VendorNode) -> None:
    answer = await node.register()
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Node registered"})
    (info,) = await listed(here)
    assert info["ip"] == "203.0.113.7"
    assert info["version"] == "1.2"
    assert info["status"] == "running"
    assert info["nodeServices"] == 1
    assert info["id_org"] == "org-1"
    assert info["url"] == "https://s3-eu-west-1-aws.nodes.local"
    assert await listed(here, user="owner-2", organisation="org-2") == []


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "text", "iso"])
async def test_every_form_of_timestamp_is_taken_by_its_own_text(
    here: PlatformUnderTest, node: VendorNode, form: str
) -> None:
    seconds = int(here.clock.now)
    timestamp = {
        "seconds": seconds,
        "milliseconds": seconds * 1000,
        "text": str(seconds),
        "iso": "2026-02-02T02:40:00.000Z",
    }[form]
    assert (await node.post("/register", status="active", version="1", timestamp=timestamp)).status_code == 200


async def test_a_number_counts_as_it_was_written(here: PlatformUnderTest, node: VendorNode) -> None:
    written = f"{int(here.clock.now)}.50"
    signature = orgkey.sign(orgkey.load_private(node.key), node.ip, node.region, written)
    body = (
        f'{{"ip":"{node.ip}","region":"{node.region}","version":"1","status":"up","id_org":"org-1",'
        f'"timestamp":{written},"signature":"{signature}"}}'
    )
    assert (await here.client.post("/register", content=body)).status_code == 200


async def test_the_four_part_text_and_the_old_name_of_the_organisation_are_taken(
    here: PlatformUnderTest, node: VendorNode
) -> None:
    timestamp = str(int(here.clock.now))
    body = node.signed(version="1", status="up", id_org=None, org_id="org-1")
    text = orgkey.signed_text(node.ip, node.region, timestamp, "org-1")
    body["signature"] = sign_text(node.key, text)
    assert (await here.client.post("/register", json=body)).status_code == 200


def sign_text(key: str, text: bytes) -> str:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - of this helper alone
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - of this helper alone

    return base64.b64encode(orgkey.load_private(key).sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


@pytest.mark.parametrize("path", ["/register", "/unregister", "/status", "/secrets"])
@pytest.mark.parametrize(
    "change",
    [
        {"ip": "203.0.113.8"},
        {"region": "eu-west-2"},
        {"timestamp": 1_770_000_007},
        {"id_org": "org-2"},
        {"id_org": "nobody"},
        {"id_org": None},
        {"signature": "AAAA"},
        {"signature": "no base64!"},
        {"signature": None},
        {"timestamp": None},
        {"timestamp": "yesterday"},
        {"ip": "203.0.113.7|eu"},
    ],
    ids=str,
)
async def test_a_changed_field_is_refused(
    here: PlatformUnderTest, node: VendorNode, path: str, change: dict[str, Any]
) -> None:
    body = node.signed(version="1", status="up") | change
    body = {name: value for name, value in body.items() if value is not None}
    answer = await here.client.post(path, json=body)
    assert answer.status_code == (400 if path in {"/register", "/unregister"} else 401)
    assert answer.json()["success"] is False
    assert await here.count(nodes) == 0


@pytest.mark.parametrize("age", [-301, 301, 86400])
async def test_an_old_or_early_timestamp_is_refused(here: PlatformUnderTest, node: VendorNode, age: int) -> None:
    answer = await node.register(timestamp=int(here.clock.now) + 1 - age)
    assert answer.status_code == 400
    assert answer.json()["message"] == "The timestamp is not recent"


async def test_the_same_call_again_gets_the_same_answer_and_does_nothing(
    here: PlatformUnderTest, node: VendorNode
) -> None:
    body = node.signed(version="1", status="up")
    answers = [await here.client.post("/register", json=body) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert [event for event in await here.events() if event[0] == 9] == [(9, 0, (await listed(here))[0]["id"])]


async def test_a_refusal_is_remembered_like_any_other_answer(here: PlatformUnderTest, node: VendorNode) -> None:
    body = node.signed()
    first = await here.client.post("/unregister", json=body)
    assert first.status_code == 404
    await node.register()
    assert (await here.client.post("/unregister", json=body)).json() == first.json()
    assert len(await listed(here)) == 1


def written_otherwise(signature: str) -> str:
    """Other base64 of the same bytes: the bits that its last character has to spare are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = f"{signature[:-3]}{alphabet[alphabet.index(signature[-3]) | 1]}=="
    assert base64.b64decode(other) == base64.b64decode(signature)
    assert other != signature
    return other


async def test_a_signature_is_good_for_one_route_and_one_body(here: PlatformUnderTest, node: VendorNode) -> None:
    body = node.signed(version="1", status="up")
    assert (await here.client.post("/register", json=body)).status_code == 200
    for path, status in (("/unregister", 400), ("/status", 401), ("/secrets", 401)):
        replayed = await here.client.post(path, json=body)
        assert (replayed.status_code, replayed.json()["message"]) == (status, "The signature was used before")
    changed = await here.client.post("/register", json=body | {"version": "2"})
    assert changed.status_code == 400
    rewritten = body | {"signature": written_otherwise(body["signature"])}
    assert (await here.client.post("/register", json=rewritten)).status_code == 400
    (info,) = await listed(here)
    assert info["version"] == "1"


async def test_aliases_of_the_status_route_are_one_route(here: PlatformUnderTest, node: VendorNode) -> None:
    await node.register()
    body = node.signed(timestamp=int(here.clock.now) + 1, buckets=[])
    answers = [await here.client.post(path, json=body) for path in ("/status", "/node/status", "/nodestatus")]
    assert [answer.json() for answer in answers] == [{"success": True, "message": "ok"}] * 3


async def test_of_two_equal_calls_at_once_one_counts(here: PlatformUnderTest, node: VendorNode) -> None:
    body = node.signed(version="1", status="up")
    answers = await asyncio.gather(*(here.client.post("/register", json=body) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len([event for event in await here.events() if event[0] == 9]) == 1


async def test_the_same_name_in_two_organisations_is_two_nodes(here: PlatformUnderTest, node: VendorNode) -> None:
    theirs = VendorNode(here, await here.new_key("org-2"), organisation="org-2")
    assert (await node.register(version="1")).status_code == 200
    assert (await theirs.register(version="2")).status_code == 200
    assert [info["version"] for info in await listed(here)] == ["1"]
    assert [info["version"] for info in await listed(here, user="owner-2", organisation="org-2")] == ["2"]


async def test_registering_again_updates_the_node(here: PlatformUnderTest, node: VendorNode) -> None:
    await node.register()
    (before,) = await listed(here)
    await node.register(version="1.3", url="https://s3.example.net")
    (after,) = await listed(here)
    assert after["id"] == before["id"]
    assert (after["version"], after["url"]) == ("1.3", "https://s3.example.net")


@pytest.mark.parametrize("region", ["eu-west-1", None, "empty", "left out"])
async def test_a_node_unregisters_with_or_without_its_region(
    here: PlatformUnderTest, node: VendorNode, region: str | None
) -> None:
    await node.register()
    body = node.signed(timestamp=int(here.clock.now) + 1)
    if region != "eu-west-1":
        del body["region"]
        texts = {None: (node.ip, node.region), "empty": (node.ip, ""), "left out": (node.ip,)}
        body["signature"] = sign_text(node.key, orgkey.signed_text(*texts[region], str(body["timestamp"])))
    answer = await here.client.post("/unregister", json=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Node unregistered"})
    assert await listed(here) == []
    here.clock.now += 5
    assert (await node.post("/unregister")).status_code == 404
    assert (await here.call("GET", "/organization/org-1/key")).json()["data"][0]["nodeKeys"] == []


@pytest.mark.parametrize("path", ["/status", "/secrets"])
async def test_only_unregistering_may_leave_the_region_out(
    here: PlatformUnderTest, node: VendorNode, path: str
) -> None:
    await node.register()
    body = node.signed(timestamp=int(here.clock.now) + 1, region=None)
    answer = await here.client.post(path, json=body)
    assert (answer.status_code, answer.json()["message"]) == (401, "region is needed")


async def test_nodes_without_an_organisation_need_the_network_key(here: PlatformUnderTest, node: VendorNode) -> None:
    public = VendorNode(here, node.key, organisation=None)
    assert (await public.register()).status_code == 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"region": None}, "region: Field required"),
        ({"version": "x" * 1025}, "version: String should have at most 1024 characters"),
        ({"nodeServices": 256}, "nodeServices: Input should be less than or equal to 255"),
        ({"status": "a\nb"}, "Control characters are not allowed"),
        ({"nodeId": "other"}, "nodeId: a node registers its id as ip"),
        ({"ip": ""}, "ip: String should have at least 1 character"),
    ],
)
async def test_a_field_that_is_none_is_named(
    here: PlatformUnderTest, node: VendorNode, fields: dict[str, Any], message: str
) -> None:
    answer = await node.register(**fields)
    assert (answer.status_code, answer.json()) == (400, {"success": False, "message": message})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"[" * 100_000, b'{"ip":' * 50_000, b"\xff", b'{"ip":NaN}']
)
async def test_what_is_no_message_is_refused(here: PlatformUnderTest, body: bytes) -> None:
    for path in ("/register", "/unregister", "/status", "/secrets"):
        answer = await here.client.post(path, content=body)
        assert answer.status_code == 400
        assert answer.json()["success"] is False


async def test_a_body_above_a_mebibyte_is_refused(here: PlatformUnderTest) -> None:
    answer = await here.client.post("/register", content=b" " * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["success"]) == (413, False)
