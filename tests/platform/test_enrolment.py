"""Nodes with keys of their own: node-protocol §§1 and 2."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge_node.crypto import orgkey, sealing
from bridge_node.platform.models import audit_events, enrolments, nonces
from bridge_node.platform.sweeps import sweep
from tests.platform.world import URL, OwnNode, PlatformUnderTest, VendorNode, running_platform


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    return OwnNode(here, await here.new_key())


@pytest.fixture
async def approving(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    async with running_platform(database_url, tmp_path, enrolment="approve") as platform:
        yield platform


async def status(node: OwnNode, **fields: Any) -> int:
    return (await node.post("/status", {**node.identity(), **fields})).status_code


async def test_a_node_enrols_and_works_with_its_own_key(here: PlatformUnderTest, node: OwnNode) -> None:
    answer = await node.enrol()
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["enrolment"]) == (True, "enrolled")
    (key,) = body["platformKeys"]["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    assert "d" not in key
    assert answer.headers["bridge-protocol"] == "1"
    assert await status(node) == 200
    assert (await node.post("/register", node.registration())).json()["enrolment"] == "enrolled"


async def test_an_enrolled_node_works_on_without_its_organisations_key(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    await here.call("DELETE", "/organization/org-1/key")
    assert await status(node) == 200
    assert (await node.enrol()).status_code == 400


async def test_unregistering_keeps_the_enrolment(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    assert (await node.post("/unregister", node.identity())).status_code == 200
    assert (await here.call("GET", "/node")).json()["total"] == 0
    assert await status(node) == 200
    assert (await node.post("/register", node.registration())).status_code == 200
    assert (await here.call("GET", "/node")).json()["total"] == 1


async def test_a_node_that_enrolled_is_not_heard_in_the_plain_form(here: PlatformUnderTest, node: OwnNode) -> None:
    plain = VendorNode(here, node.organisation_key, ip=node.ip)
    assert (await plain.register()).status_code == 200
    await node.enrol()
    for path, refused in (("/register", 400), ("/unregister", 400), ("/status", 401), ("/secrets", 401)):
        here.clock.now += 1
        answer = await plain.post(path, version="1", status="up")
        assert (answer.status_code, answer.json()["message"]) == (refused, "An enrolled node signs with its own key")
    await here.call("DELETE", f"/organization/org-1/node/{node.ip}")
    assert (await plain.register()).status_code == 400


async def test_keys_are_not_enrolled_by_the_plain_form(here: PlatformUnderTest, node: OwnNode) -> None:
    plain = VendorNode(here, node.organisation_key, ip=node.ip)
    assert (await plain.register(nodeKeys=node.keys)).status_code == 400
    assert await here.count(enrolments) == 0


async def test_a_nonce_is_good_for_one_call(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    nonce = "n" * 22
    answers = await asyncio.gather(*(node.post("/status", node.identity(), nonce=nonce) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    here.clock.now += 700
    await sweep(here.platform.database, here.clock.ms())
    assert await here.rows(select(nonces)) == []
    assert (await node.post("/status", node.identity(), nonce=nonce)).status_code == 200


@pytest.mark.parametrize(
    "forged",
    [
        {"sent": b'{"ip":"node-1","region":"eu-west-1","id_org":"org-1" }'},
        {"to": "/nodestatus"},
        {"to": "/status?x=1"},
        {"url": "https://other.test"},
        {"headers": {"Host": "other.test"}},
        {"age": 301},
        {"age": -301},
        {"nonce": "short"},
        {"headers": {"Content-Digest": ""}},
        {"headers": {"Signature": "bridge-node=:AAAA:"}},
        {"headers": {"Signature-Input": "x"}},
    ],
    ids=str,
)
async def test_whatever_changes_after_signing_is_refused(
    here: PlatformUnderTest, node: OwnNode, forged: dict[str, Any]
) -> None:
    await node.enrol()
    answer = await node.post("/status", node.identity(), **forged)
    assert (answer.status_code, answer.json()["success"]) == (401, False)


async def test_a_node_speaks_for_itself_alone(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    other = OwnNode(here, node.organisation_key, ip="node-2")
    await other.enrol()
    assert await status(node, ip="node-2") == 401
    assert await status(node, id_org="org-2") == 401
    forger = OwnNode(here, node.organisation_key)
    answer = await forger.post("/status", node.identity(), keyid=node.sign.thumbprint())
    assert answer.status_code == 401


async def test_the_organisations_key_does_nothing_but_enrol(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    private = orgkey.load_private(node.organisation_key)
    keyid = orgkey.thumbprint(private.public_key())
    for path, refused in (("/status", 401), ("/unregister", 400), ("/register", 400), ("/node/config", 401)):
        assert (await node.send(path, node.registration(), private, keyid)).status_code == refused


async def test_another_organisations_key_enrols_nothing_here(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    foreign = OwnNode(here, await here.new_key("org-2"), ip=node.ip)
    assert (await foreign.enrol()).status_code == 400
    foreign.organisation = "org-2"
    assert (await foreign.enrol()).status_code == 200
    assert await status(node) == 200
    assert await here.count(enrolments) == 2


async def test_taking_over_a_node_needs_the_organisations_key_and_is_recorded(
    here: PlatformUnderTest, node: OwnNode
) -> None:
    await node.enrol()
    heir = OwnNode(here, node.organisation_key)
    refused = await node.post("/register", {**node.registration(), "nodeKeys": heir.keys})
    assert refused.status_code == 400
    assert (await heir.enrol()).json()["enrolment"] == "enrolled"
    assert await status(heir) == 200
    assert await status(node) == 401
    data = [row.data for row in await here.rows(select(audit_events).order_by(audit_events.c.id)) if row.data]
    assert data[-1] == {"enrolment": "enrolled", "keyid": heir.sign.thumbprint(), "takenOver": True}


async def test_enrolling_again_with_the_same_keys_changes_nothing(here: PlatformUnderTest, node: OwnNode) -> None:
    for _ in range(2):
        assert (await node.enrol()).json()["enrolment"] == "enrolled"
    assert await here.count(enrolments) == 1


async def test_keys_belong_to_one_node_and_go_together(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    thief = OwnNode(here, node.organisation_key, ip="node-2", sign=node.sign, seal=node.seal)
    assert (await thief.enrol()).status_code == 400
    reader = OwnNode(here, node.organisation_key, sign=node.sign)
    assert (await reader.enrol()).status_code == 400
    assert await status(node) == 200


@pytest.mark.parametrize("wrong", ["private", "curve", "empty", "point"])
async def test_keys_that_are_none_are_refused(here: PlatformUnderTest, node: OwnNode, wrong: str) -> None:
    sign = {
        "private": sealing.new_signing_key().as_dict(private=True),
        "curve": sealing.new_sealing_key().as_dict(private=False),
        "empty": {},
        "point": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
    }[wrong]
    assert (await node.enrol(nodeKeys={**node.keys, "sign": sign})).status_code == 400
    assert await here.count(enrolments) == 0


async def test_where_approval_is_asked_a_node_waits_for_it(approving: PlatformUnderTest) -> None:
    node = OwnNode(approving, await approving.new_key())
    for _ in range(2):
        assert (await node.enrol()).json()["enrolment"] == "waiting"
    assert (await node.post("/register", node.registration())).json()["enrolment"] == "waiting"
    assert await status(node) == 401
    answer = await node.post("/node/config", {})
    assert (answer.status_code, answer.json()["message"]) == (401, "The enrolment waits for approval")
    approve = f"/organization/org-1/node/{node.ip}/approve"
    assert (await approving.call("POST", approve, user="user-1")).status_code == 403
    (info,) = (await approving.call("GET", "/node")).json()["data"]
    assert info["enrolment"] == "waiting"
    assert (await approving.call("POST", approve)).status_code == 200
    assert (await approving.call("POST", approve)).status_code == 404
    assert await status(node) == 200


async def test_where_approval_is_asked_a_takeover_leaves_the_old_keys_until_then(
    approving: PlatformUnderTest,
) -> None:
    node = OwnNode(approving, await approving.new_key())
    await node.enrol()
    await approving.call("POST", f"/organization/org-1/node/{node.ip}/approve")
    heir = OwnNode(approving, node.organisation_key)
    assert (await heir.enrol()).json()["enrolment"] == "waiting"
    assert (await status(node), await status(heir)) == (200, 401)
    await approving.call("POST", f"/organization/org-1/node/{node.ip}/approve")
    assert (await status(node), await status(heir)) == (401, 200)


async def test_a_deleted_node_comes_back_by_key_and_approval_only(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    delete = f"/organization/org-1/node/{node.ip}"
    assert (await here.call("DELETE", delete)).status_code == 200
    again = await here.call("DELETE", delete)
    assert (again.status_code, again.json()["message"]) == (400, "Node was deleted before")
    assert await status(node) == 401
    assert (await node.post("/register", node.registration())).status_code == 400
    assert (await node.enrol()).json()["enrolment"] == "waiting"
    here.clock.now += 1
    fresh = OwnNode(here, node.organisation_key)
    assert (await fresh.enrol()).json()["enrolment"] == "waiting"
    assert await status(node) == 401
    assert (await here.call("POST", f"{delete}/approve")).status_code == 200
    assert await status(fresh) == 200


async def test_a_node_is_deleted_by_administrators_of_its_organisation(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    path = f"/organization/org-1/node/{node.ip}"
    assert (await here.call("DELETE", path, user="user-1")).status_code == 403
    assert (await here.call("DELETE", path, user="owner-2", organisation="org-2")).status_code == 403
    assert (await here.call("DELETE", "/organization/org-1/node/none")).status_code == 404
    (info,) = (await here.call("GET", "/node")).json()["data"]
    assert (await here.call("DELETE", f"/organization/org-1/node/{info['id']}")).status_code == 200


async def test_too_many_bad_signatures_of_one_address_are_not_even_checked(database_url: str, tmp_path: Path) -> None:
    async with running_platform(database_url, tmp_path, limits={"bad_signatures_per_minute": 3}) as here:
        key = await here.new_key()
        vendor = VendorNode(here, key, ip="plain")
        answers = [await vendor.register(signature="AAAA") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await vendor.register()).status_code == 429
        assert (await OwnNode(here, key).enrol()).status_code == 200


async def test_the_network_key_is_for_nodes_without_an_organisation(database_url: str, tmp_path: Path) -> None:
    private, public = orgkey.generate()
    async with running_platform(database_url, tmp_path, network_key=public) as here:
        assert (await VendorNode(here, private, organisation=None).register()).status_code == 200
        assert (await VendorNode(here, private).register()).status_code == 400
        node = OwnNode(here, private, organisation=None)
        assert (await node.enrol()).json()["enrolment"] == "enrolled"
        assert (await node.config()).serves == {}
        (first, second) = (await here.call("GET", "/node", user="owner-2", organisation="org-2")).json()["data"]
        assert {first["ip"], second["ip"]} == {"203.0.113.7", "node-1"}
        assert "id_org" not in first


async def test_urls_are_compared_as_authorities(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.enrol()
    answer = await node.post("/status", node.identity(), headers={"Host": "PLATFORM.test:443"})
    assert answer.status_code == 200
    assert URL == "https://platform.test"
