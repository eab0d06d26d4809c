"""Buckets at real servers of each cloud: made with their flags, read back, changed and taken away."""

import asyncio
import base64
import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from bridge_node.errors import (
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    BucketExists,
    BucketNotEmpty,
    BucketOwnedByCaller,
    InvalidBucketName,
    InvalidRequest,
    NoSuchBucket,
    NotSupported,
)
from bridge_node.platform.clouds import Account, Flags, administration, reached
from bridge_node.platform.clouds.administration import Change
from tests.gcs_policies import Policies
from tests.platform.clouds import QUIRKS, SERVICE_ACCOUNT, SUBJECTS, Quirk, Subject, gcs_subject, readable_by_anybody

_numbers = itertools.count()
FLAGS = [field.name for field in fields(Flags)]
CHANGEABLE = [field.name for field in fields(Change)]


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Subject:
    server, made = SUBJECTS[request.param]
    return made(request.getfixturevalue(server))


def without(quirk: Quirk) -> list[str]:
    """Names of the servers that are in this as the real thing is."""
    return [name for name, quirks in QUIRKS.items() if quirk not in quirks]


@pytest.fixture
def bucket() -> str:
    return f"clouds-test-{next(_numbers)}"


async def flags_of(subject: Subject, bucket: str) -> Flags:
    return await administration.status(subject.account, bucket)


async def test_a_bucket_without_wishes_is_private_and_answers(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags())
    assert await flags_of(subject, bucket) == subject.always
    async with reached(subject.account) as cloud:
        await cloud.head(bucket)
    assert await asyncio.to_thread(subject.opinion.exists, bucket)


@pytest.mark.parametrize("flag", FLAGS)
async def test_a_flag_is_set_and_read_back_or_refused_and_no_bucket_is_left(
    subject: Subject, bucket: str, flag: str
) -> None:
    wanted = Flags(**{flag: True})
    if flag not in subject.can:
        with pytest.raises(NotSupported):
            await administration.create(subject.account, bucket, wanted)
        assert not await asyncio.to_thread(subject.opinion.exists, bucket)
        return
    await administration.create(subject.account, bucket, wanted)
    locked = flag == "object_lock"
    expected = replace(subject.always, **{flag: True, "versioning": locked or flag == "versioning"})
    assert await flags_of(subject, bucket) == expected


@pytest.mark.parametrize("flag", CHANGEABLE)
async def test_a_flag_is_switched_on_and_off_again(subject: Subject, bucket: str, flag: str) -> None:
    await administration.create(subject.account, bucket, Flags())
    if flag not in subject.can:
        with pytest.raises(NotSupported):
            await administration.update(subject.account, bucket, Change(**{flag: True}))
        return
    await administration.update(subject.account, bucket, Change(**{flag: True}))
    assert getattr(await flags_of(subject, bucket), flag)
    if getattr(subject.always, flag):
        with pytest.raises(NotSupported):
            await administration.update(subject.account, bucket, Change(**{flag: False}))
        return
    before = await administration.update(subject.account, bucket, Change(**{flag: False}))
    assert getattr(before, flag)
    assert await flags_of(subject, bucket) == subject.always


async def test_what_is_public_is_read_by_anybody_and_what_is_private_by_nobody(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags(public=True))
    await asyncio.to_thread(subject.opinion.put, bucket, "photo")
    assert await asyncio.to_thread(readable_by_anybody, subject, bucket, "photo")
    await administration.update(subject.account, bucket, Change(public=False))
    open_to_all = await asyncio.to_thread(readable_by_anybody, subject, bucket, "photo")
    assert open_to_all == subject.has("reads_are_not_guarded")


async def test_a_name_that_is_taken_is_refused_and_the_bucket_stays_as_it_is(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags(public=True))
    for _ in range(2):
        with pytest.raises((BucketExists, BucketOwnedByCaller)):
            await administration.create(subject.account, bucket, Flags())
    assert (await flags_of(subject, bucket)).public


async def test_an_empty_bucket_is_deleted_and_one_with_an_object_is_not(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags())
    await asyncio.to_thread(subject.opinion.put, bucket, "photo")
    with pytest.raises(BucketNotEmpty):
        await administration.delete(subject.account, bucket)
    assert await asyncio.to_thread(subject.opinion.exists, bucket)
    await asyncio.to_thread(subject.opinion.empty, bucket)
    await administration.delete(subject.account, bucket)
    assert not await asyncio.to_thread(subject.opinion.exists, bucket)


async def test_a_bucket_that_is_not_there_is_said_to_be_missing(subject: Subject, bucket: str) -> None:
    for asked in (
        administration.status(subject.account, bucket),
        administration.update(subject.account, bucket, Change(public=True)),
        administration.delete(subject.account, bucket),
    ):
        with pytest.raises(NoSuchBucket):
            await asked
    async with reached(subject.account) as cloud:
        with pytest.raises(NoSuchBucket):
            await cloud.head(bucket)


async def test_a_name_that_is_no_bucket_name_reaches_no_cloud(subject: Subject) -> None:
    for name in ("", "Upper", "a", "a..b", "192.0.2.1", "x" * 64, "a/b"):
        with pytest.raises(InvalidBucketName):
            await administration.create(replace(subject.account, endpoint="http://127.0.0.1:1"), name, Flags())


@pytest.mark.parametrize("subject", without("signatures_are_not_checked"), indirect=True)
async def test_wrong_credentials_are_refused(subject: Subject, bucket: str) -> None:
    account = replace(subject.account, secret="d3Jvbmc=")
    with pytest.raises(BackendRefused):
        await administration.status(account, bucket)


@pytest.mark.parametrize("subject", ["gcs", "azurite"], indirect=True)  # secrets of S3 may be any text
@pytest.mark.parametrize("secret", ["no base64 at all!", "\u00e4", "x"])
async def test_credentials_that_cannot_be_any_are_refused(subject: Subject, bucket: str, secret: str) -> None:
    with pytest.raises(BackendRefused):
        await administration.status(replace(subject.account, secret=secret), bucket)


async def test_a_region_that_is_none_is_the_callers_to_put_right(seaweedfs: Any, bucket: str) -> None:
    account = replace(SUBJECTS["seaweedfs"][1](seaweedfs).account, region="EU West!")
    with pytest.raises(InvalidRequest):
        await administration.status(account, bucket)


@pytest.mark.parametrize("subject", ["seaweedfs", "moto", "gcs"], indirect=True)  # Azure refuses locks, see above
async def test_versions_are_not_switched_off_under_a_lock(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags(object_lock=True))
    with pytest.raises(InvalidRequest):
        await administration.update(subject.account, bucket, Change(versioning=False))
    assert (await flags_of(subject, bucket)).versioning


# --- what S3 knows of public buckets ---------------------------------------------------------------------------------


async def test_other_statements_of_a_policy_stay(moto: Any, bucket: str) -> None:
    subject, client = SUBJECTS["moto"][1](moto), moto.client()
    await administration.create(subject.account, bucket, Flags())
    own = (
        '{"Version": "2012-10-17", "Statement": {"Sid": "Partner", "Effect": "Allow", "Principal": '
        '{"AWS": "arn:aws:iam::111122223333:root"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::x/*"}}'
    )
    await asyncio.to_thread(client.put_bucket_policy, Bucket=bucket, Policy=own)
    for public, sids in ((True, {"Partner", "AnybodyReads"}), (False, {"Partner"})):
        await administration.update(subject.account, bucket, Change(public=public))
        policy = (await asyncio.to_thread(client.get_bucket_policy, Bucket=bucket))["Policy"]
        assert {sid for sid in ("Partner", "AnybodyReads") if sid in policy} == sids


async def test_a_block_of_public_access_counts_and_is_lifted_for_a_public_bucket(moto: Any, bucket: str) -> None:
    subject, client = SUBJECTS["moto"][1](moto), moto.client()
    await administration.create(subject.account, bucket, Flags(public=True))
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    await asyncio.to_thread(client.put_public_access_block, Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert not (await flags_of(subject, bucket)).public
    await administration.update(subject.account, bucket, Change(public=True))
    assert (await flags_of(subject, bucket)).public


async def test_a_bucket_that_an_acl_opens_is_public_until_it_is_closed(moto: Any, bucket: str) -> None:
    subject, client = SUBJECTS["moto"][1](moto), moto.client()
    await administration.create(subject.account, bucket, Flags())
    await asyncio.to_thread(client.put_bucket_acl, Bucket=bucket, ACL="public-read")
    assert (await flags_of(subject, bucket)).public
    await administration.update(subject.account, bucket, Change(public=False))
    assert not (await flags_of(subject, bucket)).public


async def test_versions_that_are_left_keep_a_bucket(seaweedfs: Any, bucket: str) -> None:
    subject, client = SUBJECTS["seaweedfs"][1](seaweedfs), seaweedfs.client()
    await administration.create(subject.account, bucket, Flags(versioning=True))
    await asyncio.to_thread(client.put_object, Bucket=bucket, Key="photo", Body=b"x")
    await asyncio.to_thread(client.delete_object, Bucket=bucket, Key="photo")
    with pytest.raises(BucketNotEmpty):
        await administration.delete(subject.account, bucket)


# --- only what differs ------------------------------------------------------------------------------------------------


async def test_an_update_sends_only_what_differs(gcs_policies: Policies, bucket: str) -> None:
    subject = gcs_subject(gcs_policies)
    await administration.create(subject.account, bucket, Flags(versioning=True))
    gcs_policies.seen.clear()
    await administration.update(subject.account, bucket, Change(versioning=True, encryption=True, public=False))
    assert {method for method, _ in gcs_policies.seen} == {"GET"}
    await administration.update(subject.account, bucket, Change(versioning=True, public=True))
    changing = [(method, path) for method, path in gcs_policies.seen if method != "GET"]
    assert changing == [("PUT", f"/storage/v1/b/{bucket}/iam")]


async def test_a_flag_that_a_cloud_takes_and_forgets_is_refused_and_no_bucket_is_left(
    gcs_policies: Policies, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "SETTLING_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(gcs_policies, "deaf", True)
    subject = gcs_subject(gcs_policies)
    with pytest.raises(NotSupported):
        await administration.create(subject.account, bucket, Flags(public=True))
    assert not await asyncio.to_thread(subject.opinion.exists, bucket)


async def test_google_is_asked_with_a_token_that_the_account_signed_itself(gcs_policies: Policies, bucket: str) -> None:
    gcs_policies.authorizations.clear()
    await administration.create(gcs_subject(gcs_policies).account, bucket, Flags())
    assert gcs_policies.authorizations
    for authorization in gcs_policies.authorizations:
        claims = authorization.removeprefix("Bearer ").split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(claims + "=="))["iss"] == SERVICE_ACCOUNT


async def test_a_service_account_of_no_project_makes_no_bucket(gcs_policies: Policies, bucket: str) -> None:
    account = replace(gcs_subject(gcs_policies).account, key="somebody@example.com")
    with pytest.raises(NotSupported):
        await administration.create(account, bucket, Flags())


# --- where it may connect to (promises 18 and 19) ---------------------------------------------------------------------


async def test_a_name_that_leads_to_this_host_is_reached_only_when_the_operator_allows_it(
    subject: Subject, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to a loopback address here, as a tenant's own DNS could have it."""
    asked, names = socket.getaddrinfo, []

    def resolved(host: Any, *options: Any, **more: Any) -> Any:
        names.append(host)
        return asked("127.0.0.1" if host == "bucket.example.com" else host, *options, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    named = subject.account.endpoint.replace("127.0.0.1", "bucket.example.com")
    account = replace(subject.account, endpoint=named)
    with pytest.raises(BackendUnreachable):
        await administration.status(replace(account, allow_private=False), bucket)
    assert "bucket.example.com" in names
    if subject.account.kind != "azure":  # whose emulator has no name: a host with one has no account in its path
        with pytest.raises(NoSuchBucket):
            await administration.status(account, bucket)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "127.1", "0x7f000001"])
async def test_a_private_address_is_no_endpoint(subject: Subject, host: str) -> None:
    with pytest.raises(BackendUnreachable):
        await administration.status(
            replace(subject.account, endpoint=f"http://{host}:80", allow_private=False), "bucket"
        )


@pytest.mark.parametrize("missing", [{"key": ""}, {"secret": ""}], ids=str)
async def test_without_credentials_nobody_elses_are_looked_for(
    subject: Subject, missing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", subject.account.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", subject.account.secret)
    with pytest.raises(BackendRefused):
        await administration.status(replace(subject.account, **missing), "bucket")


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
async def test_a_cloud_that_is_silent_is_left_at_the_deadline(kind: Any, silent: str) -> None:
    account = Account(kind, "account", "c2VjcmV0", silent, allow_private=True)
    if kind == "gcs":
        account = replace(gcs_subject(Policies("", "")).account, endpoint=silent)
    with pytest.raises(BackendTimeout):
        async with reached(account, seconds=0.5) as cloud:
            await cloud.head("bucket")


@pytest.fixture
def silent() -> Any:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_nothing_listens_there(subject: Subject) -> None:
    with pytest.raises(BackendUnreachable):
        await administration.status(replace(subject.account, endpoint="http://127.0.0.1:9"), "bucket")


def test_no_sdk_is_imported_before_an_account_of_its_kind_is_reached() -> None:
    asked = (
        "import sys, bridge_node.platform.app; print({'aioboto3', 'google.cloud', 'azure.storage'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


# --- each row of the quirks -------------------------------------------------------------------------------------------

Proof = Callable[[Subject, str], Any]


async def _reads_are_not_guarded(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags())
    await asyncio.to_thread(subject.opinion.put, bucket, "photo")
    assert await asyncio.to_thread(readable_by_anybody, subject, bucket, "photo")


async def _signatures_are_not_checked(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags())
    secret = "wrong" if subject.account.kind == "s3" else subject.account.secret
    assert await administration.status(replace(subject.account, secret=secret), bucket) == subject.always


async def _versions_do_not_keep_a_bucket(subject: Subject, bucket: str) -> None:
    await administration.create(subject.account, bucket, Flags(versioning=True))
    await asyncio.to_thread(subject.opinion.put, bucket, "photo")
    client = subject.opinion.server.client()  # type: ignore[attr-defined] # this row is about S3 alone
    await asyncio.to_thread(client.delete_bucket, Bucket=bucket)
    assert not await asyncio.to_thread(subject.opinion.exists, bucket)


PROOFS: dict[Quirk, Proof] = {
    "reads_are_not_guarded": _reads_are_not_guarded,
    "signatures_are_not_checked": _signatures_are_not_checked,
    "versions_do_not_keep_a_bucket": _versions_do_not_keep_a_bucket,
}


@pytest.mark.parametrize(("name", "quirk"), [(name, quirk) for name, rows in QUIRKS.items() for quirk in sorted(rows)])
async def test_each_quirk_is_a_fact(request: pytest.FixtureRequest, bucket: str, name: str, quirk: Quirk) -> None:
    server, made = SUBJECTS[name]
    await PROOFS[quirk](made(request.getfixturevalue(server)), bucket)
