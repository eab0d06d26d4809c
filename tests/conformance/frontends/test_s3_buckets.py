"""Buckets through the S3 frontend: listings, probes, and the sub-resources that are not offered."""

import re
from urllib.parse import quote

import pytest

from bridge_node.settings import S3Settings
from tests.conformance.frontends.harness import REGION, Answer, Gateway, running


def names(answer: Answer, element: str = "Key") -> list[str]:
    assert answer.status == 200, answer
    return re.findall(f"<{element}>([^<]*)</{element}>", answer.body.decode())


async def fill(gateway: Gateway, *keys: str) -> None:
    for key in keys:
        await gateway.put(f"/photos/{quote(key)}")


# --- buckets -------------------------------------------------------------------------------------------------------


async def test_the_buckets_of_the_repository_are_listed(gateway: Gateway) -> None:
    assert names(await gateway.call("GET", "/"), "Name") == ["archive-2026", "music", "photos"]


async def test_buckets_of_other_repositories_are_not_listed(gateway: Gateway) -> None:
    assert names(await gateway.call("GET", "/", key="STRANGER"), "Name") == ["secret"]
    assert names(await gateway.call("GET", "/", key="LIMITED"), "Name") == ["photos"]


async def test_listing_buckets_needs_read(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/", key="DROPBOX")).code == "AccessDenied"


async def test_buckets_are_listed_in_pages(gateway: Gateway) -> None:
    first = await gateway.call("GET", "/?max-buckets=2")
    token = first.element("ContinuationToken")
    second = await gateway.call("GET", f"/?max-buckets=2&continuation-token={token}")
    assert [*names(first, "Name"), *names(second, "Name")] == ["archive-2026", "music", "photos"]
    assert not second.element("ContinuationToken")


async def test_a_bucket_of_another_repository_is_not_there(gateway: Gateway) -> None:
    for method in ("GET", "PUT", "DELETE"):
        refused = await gateway.call(method, "/secret/k", b"" if method == "PUT" else None, key="ADMIN")
        unknown = await gateway.call(method, "/nowhere/k", b"" if method == "PUT" else None, key="ADMIN")
        assert (refused.status, refused.code) == (unknown.status, unknown.code) == (404, "NoSuchBucket")


async def test_a_limited_key_sees_the_same_of_what_is_and_what_is_not(gateway: Gateway) -> None:
    codes = {(await gateway.call("GET", f"/{name}/k", key="LIMITED")).code for name in ("music", "secret", "nowhere")}
    assert codes == {"AccessDenied"}


async def test_head_bucket_tells_the_region(gateway: Gateway) -> None:
    answer = await gateway.call("HEAD", "/photos")
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (200, REGION)
    missing = await gateway.call("HEAD", "/nowhere")
    assert (missing.status, missing.body) == (404, b"")


async def test_admin_keys_make_and_drop_buckets_of_an_account(gateway: Gateway) -> None:
    made = await gateway.call("PUT", "/fresh", b"", key="OWNER")
    assert (made.status, made.headers["location"]) == (200, "/fresh")
    assert (await gateway.call("PUT", "/fresh", b"", key="OWNER")).code == "BucketAlreadyOwnedByYou"
    assert (await gateway.call("PUT", "/fresh/k", b"x", key="GUEST")).status == 200
    assert (await gateway.call("DELETE", "/fresh", key="GUEST")).code == "AccessDenied"
    assert (await gateway.call("DELETE", "/fresh", key="OWNER")).code == "BucketNotEmpty"
    await gateway.call("DELETE", "/fresh/k", key="GUEST")
    assert (await gateway.call("DELETE", "/fresh", key="OWNER")).status == 204
    assert (await gateway.call("HEAD", "/fresh", key="OWNER")).status == 404


async def test_attached_buckets_are_the_operators(gateway: Gateway) -> None:
    assert (await gateway.call("PUT", "/photos", b"", key="ADMIN")).code == "BucketAlreadyOwnedByYou"
    assert (await gateway.call("PUT", "/fresh", b"", key="ADMIN")).code == "AccessDenied"
    assert (await gateway.call("DELETE", "/photos", key="ADMIN")).code == "AccessDenied"


async def test_a_new_bucket_lies_in_the_nodes_region(gateway: Gateway) -> None:
    def configuration(region: str) -> bytes:
        location = f"<LocationConstraint>{region}</LocationConstraint>"
        return f"<CreateBucketConfiguration>{location}</CreateBucketConfiguration>".encode()

    assert (await gateway.call("PUT", "/here", configuration(REGION), key="OWNER")).status == 200
    assert (await gateway.call("PUT", "/there", configuration("us-west-2"), key="OWNER")).status == 400
    assert (await gateway.call("HEAD", "/there", key="OWNER")).status == 404


@pytest.mark.parametrize("name", ["A", "x", "-a-", "192.168.0.1"])
async def test_a_bucket_needs_a_proper_name(gateway: Gateway, name: str) -> None:
    assert (await gateway.call("PUT", f"/{name}", b"", key="OWNER")).code == "InvalidBucketName"


# --- listings ------------------------------------------------------------------------------------------------------


async def test_a_listing_groups_by_delimiter(gateway: Gateway) -> None:
    await fill(gateway, "a", "d/1", "d/2", "e/1", "f")
    answer = await gateway.call("GET", "/photos?list-type=2&delimiter=/")
    assert names(answer) == ["a", "f"]
    assert names(answer, "Prefix")[1:] == ["d/", "e/"]
    assert answer.element("KeyCount") == "4"
    assert answer.headers["x-amz-bucket-region"] == REGION


async def test_version_2_goes_on_by_token_and_repeats_no_prefix(gateway: Gateway) -> None:
    await fill(gateway, "a", "d/1", "d/2", "e/1", "f")
    found: list[str] = []
    token = ""
    while True:
        query = f"list-type=2&delimiter=/&max-keys=1{token and f'&continuation-token={token}'}"
        page = await gateway.call("GET", f"/photos?{query}")
        found += names(page) + [prefix for prefix in names(page, "Prefix") if prefix]
        assert page.element("KeyCount") == "1"
        token = page.element("NextContinuationToken")
        assert bool(token) == (page.element("IsTruncated") == "true")
        if not token:
            break
    assert found == ["a", "d/", "e/", "f"]


async def test_version_1_goes_on_by_marker_and_names_one_only_with_a_delimiter(gateway: Gateway) -> None:
    await fill(gateway, "a", "b", "c/1", "c/2", "d")
    plain = await gateway.call("GET", "/photos?max-keys=2")
    assert (names(plain), plain.element("NextMarker")) == (["a", "b"], "")
    assert names(await gateway.call("GET", "/photos?marker=b&max-keys=2")) == ["c/1", "c/2"]
    grouped = await gateway.call("GET", "/photos?delimiter=/&max-keys=3")
    assert grouped.element("NextMarker") == "c/"
    assert names(await gateway.call("GET", "/photos?delimiter=/&marker=c/")) == ["d"]


async def test_a_prefix_that_looks_like_a_sub_resource_is_a_prefix(gateway: Gateway) -> None:
    await fill(gateway, "uploads/1", "acl", "x")
    assert names(await gateway.call("GET", "/photos?prefix=uploads/")) == ["uploads/1"]
    assert names(await gateway.call("GET", "/photos?list-type=2&prefix=acl")) == ["acl"]
    assert names(await gateway.call("GET", "/photos?prefix=%26acl")) == []


async def test_keys_that_xml_cannot_hold_are_listed_encoded(gateway: Gateway) -> None:
    await gateway.put("/photos/%01%20%2B%C3%A9")
    answer = await gateway.call("GET", "/photos?list-type=2&encoding-type=url")
    assert names(answer) == ["%01%20%2B%C3%A9"]
    assert answer.element("EncodingType") == "url"
    assert (await gateway.call("GET", "/photos?encoding-type=base64")).code == "InvalidArgument"


async def test_start_after_and_owner(gateway: Gateway) -> None:
    await fill(gateway, "a", "b", "c")
    answer = await gateway.call("GET", "/photos?list-type=2&start-after=a&fetch-owner=true")
    assert names(answer) == ["b", "c"]
    assert answer.body.count(b"<Owner>") == 2
    assert b"<Owner>" not in (await gateway.call("GET", "/photos?list-type=2")).body


async def test_a_page_of_nothing_is_complete(gateway: Gateway) -> None:
    await fill(gateway, "a")
    answer = await gateway.call("GET", "/photos?list-type=2&max-keys=0")
    assert (names(answer), answer.element("IsTruncated"), answer.element("KeyCount")) == ([], "false", "0")


async def test_a_page_holds_a_thousand_at_most(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/photos?max-keys=5000")).element("MaxKeys") == "1000"


@pytest.mark.parametrize(
    "query",
    ["max-keys=x", "max-keys=-1", "max-keys=1.5", "list-type=3", "list-type=2&continuation-token=garbage",
     "list-type=2&continuation-token=", "versions&version-id-marker=x", "prefix=%FF"],
)  # fmt: skip
async def test_a_listing_refuses_nonsense(gateway: Gateway, query: str) -> None:
    assert (await gateway.call("GET", f"/photos?{query}")).code == "InvalidArgument"


async def test_a_bucket_without_versions_lists_each_object_once_as_null(gateway: Gateway) -> None:
    await fill(gateway, "a", "b", "c")
    first = await gateway.call("GET", "/photos?versions&max-keys=2")
    assert names(first) == ["a", "b"]
    assert names(first, "VersionId") == ["null", "null"]
    rest = await gateway.call("GET", "/photos?versions&key-marker=b&version-id-marker=null")
    assert names(rest) == ["c"]


# --- deleting many -------------------------------------------------------------------------------------------------


def deletion(*keys: str, quiet: bool = False) -> bytes:
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{objects}<Quiet>{str(quiet).lower()}</Quiet></Delete>".encode()


async def test_many_keys_are_deleted_at_once(gateway: Gateway) -> None:
    await fill(gateway, "a", "b", "c")
    answer = await gateway.call("POST", "/photos?delete", deletion("a", "b", "missing"))
    assert names(answer) == ["a", "b", "missing"]
    assert names(await gateway.call("GET", "/photos")) == ["c"]
    assert names(await gateway.call("POST", "/photos?delete", deletion("c", quiet=True))) == []
    assert names(await gateway.call("GET", "/photos")) == []


@pytest.mark.parametrize(
    "document",
    [b"", b"<Delete/>", b"<Delete><Object/></Delete>", b"not xml", deletion(*["k"] * 1001),
     b'<!DOCTYPE d [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>'],
)  # fmt: skip
async def test_a_document_that_is_none_deletes_nothing(gateway: Gateway, document: bytes) -> None:
    await fill(gateway, "k")
    answer = await gateway.call("POST", "/photos?delete", document)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert names(await gateway.call("GET", "/photos")) == ["k"]


async def test_a_document_ends_at_4_mib_and_is_read_only_with_the_right_to_it(gateway: Gateway) -> None:
    large = [("Content-Length", str(4 * 1024**2 + 1)), ("Expect", "100-continue")]
    answer = await gateway.call("POST", "/photos?delete", headers=large)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    small = [("Content-Length", "1000"), ("Expect", "100-continue")]
    assert (await gateway.call("POST", "/photos?delete", headers=small, key="READER")).code == "AccessDenied"
    assert gateway.usage.received == 0


# --- probes and what is not offered --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "status", "says"),
    [
        ("versioning", 200, "VersioningConfiguration"),
        ("location", 200, REGION),
        ("acl", 200, "FULL_CONTROL"),
        ("object-lock", 404, "ObjectLockConfigurationNotFoundError"),
        ("policy", 404, "NoSuchBucketPolicy"),
        ("tagging", 404, "NoSuchTagSet"),
        ("cors", 404, "NoSuchCORSConfiguration"),
        ("lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("website", 404, "NoSuchWebsiteConfiguration"),
        ("encryption", 404, "ServerSideEncryptionConfigurationNotFoundError"),
    ],
)
async def test_a_probe_is_answered_as_on_a_bare_bucket(gateway: Gateway, probe: str, status: int, says: str) -> None:
    answer = await gateway.call("GET", f"/photos?{probe}", key="READER")
    assert answer.status == status
    assert says in answer.body.decode()
    assert (await gateway.call("GET", f"/nowhere?{probe}")).code == "NoSuchBucket"
    assert (await gateway.call("GET", f"/photos?{probe}", key="DROPBOX")).code == "AccessDenied"


async def test_what_is_asked_about_an_object_is_answered_for_a_bare_one(gateway: Gateway) -> None:
    await fill(gateway, "k")
    assert "FULL_CONTROL" in (await gateway.call("GET", "/photos/k?acl")).body.decode()
    assert "<TagSet></TagSet>" in (await gateway.call("GET", "/photos/k?tagging")).body.decode()
    assert (await gateway.call("GET", "/photos/missing?tagging")).code == "NoSuchKey"


SUB_RESOURCES = (
    "acl", "tagging", "cors", "policy", "lifecycle", "website", "versioning", "encryption", "object-lock",
    "retention", "legal-hold", "restore", "select", "torrent", "replication", "notification", "logging", "inventory",
    "analytics", "metrics", "requestPayment", "accelerate", "ownershipControls", "publicAccessBlock", "session",
    "something-new", "delete",
)  # fmt: skip


@pytest.mark.parametrize("sub_resource", SUB_RESOURCES)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "GET", "HEAD"])
async def test_a_sub_resource_is_never_ignored(gateway: Gateway, method: str, sub_resource: str) -> None:
    await gateway.put("/photos/k", b"kept")
    await gateway.call("PUT", "/empty", b"", key="OWNER")
    body = b"<x/>" if method in {"PUT", "POST"} else None
    for target, who in ((f"/photos/k?{sub_resource}", "ADMIN"), (f"/empty?{sub_resource}", "OWNER")):
        answer = await gateway.call(method, target, body, key=who)
        probe = method == "GET" and answer.status in {200, 404}
        document = method == "POST" and sub_resource == "delete" and answer.status == 400
        assert answer.status == 501 or probe or document, answer
    assert (await gateway.call("GET", "/photos/k")).body == b"kept"
    assert (await gateway.call("HEAD", "/empty", key="OWNER")).status == 200


async def test_parameters_that_begin_with_x_mean_nothing(gateway: Gateway) -> None:
    await gateway.put("/photos/k?x-id=PutObject")
    assert (await gateway.call("GET", "/photos/k?x-id=GetObject&X-Custom=1")).status == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/photos/k"), ("POST", "/photos"), ("PUT", "/"), ("DELETE", "/"), ("PATCH", "/photos/k")],
)
async def test_a_method_that_means_nothing_here_is_405(gateway: Gateway, method: str, target: str) -> None:
    answer = await gateway.call(method, target, b"")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert "GET" in answer.headers["allow"]


# --- names and hosts -----------------------------------------------------------------------------------------------


async def test_a_bucket_may_stand_in_the_host() -> None:
    async with running(s3=S3Settings(region=REGION, domains=("s3.example.com",))) as gateway:
        await gateway.call("PUT", "/a/b", b"x", host="photos.s3.example.com")
        assert (await gateway.call("GET", "/photos/a/b")).body == b"x"
        assert (await gateway.call("GET", "/a/b", host="PHOTOS.s3.example.com:9000")).body == b"x"
        assert names(await gateway.call("GET", "/", host="photos.s3.example.com")) == ["a/b"]
        assert (await gateway.call("GET", "/photos/a/b", host="s3.example.com")).body == b"x"
        assert (await gateway.call("GET", "/k", host="nowhere.s3.example.com")).code == "NoSuchBucket"


async def test_health_needs_no_key_and_hides_no_bucket(gateway: Gateway) -> None:
    for method in ("GET", "HEAD"):
        answer = await gateway.plain(method, "/health")
        assert (answer.status, "x-amz-request-id" in answer.headers) == (200, True)
    assert (await gateway.call("GET", "/health")).code == "NoSuchBucket"
    assert (await gateway.plain("GET", gateway.presigned("GET", "/health"))).code == "NoSuchBucket"
