"""Organisation keys: contract §6.1 to §6.4."""

import asyncio

from bridge_node.crypto import orgkey
from tests.platform.world import PlatformUnderTest, VendorNode

KEYS = "/organization/org-1/key"


async def test_a_key_is_a_json_text_unless_pem_is_asked_for(here: PlatformUnderTest) -> None:
    for accept in ("*/*", "application/json"):
        answer = await here.call("POST", KEYS, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.json().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
        assert orgkey.load_private(answer.json()).key_size == 2048


async def test_a_key_is_a_file_when_pem_is_asked_for(here: PlatformUnderTest) -> None:
    for accept in ("application/x-pem-file", "text/plain", "application/octet-stream"):
        answer = await here.call("POST", KEYS, headers={"Accept": accept})
        assert answer.text.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
        assert answer.headers["content-disposition"] == 'attachment; filename="private_key.pem"'


async def test_keys_are_listed_newest_first_without_their_private_part(here: PlatformUnderTest) -> None:
    older = await here.new_key()
    here.clock.now += 1
    await here.new_key()
    await VendorNode(here, older).register()
    answer = (await here.call("GET", KEYS)).json()
    assert answer["success"] is True
    assert answer["message"] == "2 organisation keys"
    newest, oldest = answer["data"]
    assert newest["createdAt"] > oldest["createdAt"]
    assert newest["nodeKeys"] == []
    assert oldest["nodeKeys"] == [{"keyId": oldest["id"], "nodeId": "203.0.113.7"}]
    assert oldest["orgId"] == "org-1"
    assert oldest["publicKey"] == orgkey.public_pem(orgkey.load_private(older).public_key())
    assert set(oldest) == {"id", "orgId", "publicKey", "createdAt", "nodeKeys"}


async def test_the_sixth_key_is_refused(here: PlatformUnderTest) -> None:
    for _ in range(5):
        await here.new_key()
    answer = await here.call("POST", KEYS)
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "message": "5 of 5 organisation keys in use; delete one first"}


async def test_racing_callers_never_get_more_keys_than_there_may_be(here: PlatformUnderTest) -> None:
    answers = await asyncio.gather(*(here.call("POST", KEYS) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [400] * 3


async def test_one_key_is_deleted_for_good(here: PlatformUnderTest) -> None:
    key = await here.new_key()
    (listed,) = (await here.call("GET", KEYS)).json()["data"]
    assert (await here.call("DELETE", f"{KEYS}/{listed['id']}")).json()["success"] is True
    again = await here.call("DELETE", f"{KEYS}/{listed['id']}")
    assert again.status_code == 404
    assert again.json() == {"success": False, "message": "No such key in this organisation"}
    assert (await VendorNode(here, key).register()).status_code == 400


async def test_all_keys_are_deleted_and_counted(here: PlatformUnderTest) -> None:
    for _ in range(2):
        await here.new_key()
    answer = await here.call("DELETE", KEYS)
    assert answer.json() == {"success": True, "message": "2 organisation keys deleted"}
    assert (await here.call("GET", KEYS)).json()["data"] == []


async def test_another_organisations_key_is_not_there(here: PlatformUnderTest) -> None:
    await here.new_key("org-2")
    ((theirs),) = (await here.call("GET", "/organization/org-2/key", user="owner-2", organisation="org-2")).json()[
        "data"
    ]
    assert (await here.call("DELETE", f"{KEYS}/{theirs['id']}")).status_code == 404


async def test_only_administrators_of_that_organisation_reach_keys(here: PlatformUnderTest) -> None:
    assert (await here.call("GET", KEYS, user="admin-1")).status_code == 200
    for method in ("GET", "POST", "DELETE"):
        for user, organisation in (("user-1", "org-1"), ("owner-2", "org-2")):
            answer = await here.call(method, KEYS, user=user, organisation=organisation)
            assert answer.status_code == 403
            assert answer.json()["success"] is False
        assert (await here.call(method, "/organization/none/key")).status_code == 403
        assert (await here.client.request(method, KEYS)).status_code == 401


async def test_what_happens_to_keys_is_recorded_without_the_key(here: PlatformUnderTest) -> None:
    await here.call("POST", KEYS)
    (listed,) = (await here.call("GET", KEYS)).json()["data"]
    await here.call("DELETE", KEYS)
    assert await here.events() == [(10, 0, listed["id"]), (10, 2, listed["id"])]
