"""Buckets at Amazon S3, and at everything that speaks S3, by aioboto3.

Anybody may read where the bucket's policy or ACL says so and its public access block does not forbid it. A store that
does not know one of these aspects cannot have a bucket that is public by it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - the name is its author's
    ConnectTimeoutError,
    HTTPClientError,
    InvalidRegionError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.session import Session as BlockingSession

from bridge_node.errors import (
    BackendBusy,
    BackendMisbehaved,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    BridgeError,
    BucketExists,
    BucketNotEmpty,
    BucketOwnedByCaller,
    InvalidBucketName,
    InvalidRequest,
    NoSuchBucket,
    NotSupported,
)
from bridge_node.platform.clouds.base import Account, Flags
from bridge_node.platform.clouds.reach import CONNECT_SECONDS, SILENCE_SECONDS, resolver

DEFAULT_REGION = "us-east-1"
EVERYBODY = frozenset(
    {
        "http://acs.amazonaws.com/groups/global/AllUsers",
        "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    }
)
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))
_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "XMinioNotImplemented"})
_NOT_SET = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchPublicAccessBlockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_MEANINGS: dict[str, Callable[[], BridgeError]] = {
    "NoSuchBucket": NoSuchBucket,
    "BucketAlreadyExists": BucketExists,
    "BucketAlreadyOwnedByYou": BucketOwnedByCaller,
    "BucketNotEmpty": BucketNotEmpty,
    "InvalidBucketName": InvalidBucketName,
    "SlowDown": BackendBusy,
}
_OF_STATUS: dict[int, Callable[[], BridgeError]] = {
    401: BackendRefused,
    403: BackendRefused,
    404: NoSuchBucket,
    503: BackendBusy,
}


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator["S3Cloud"]:
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=SILENCE_SECONDS,
        retries={"total_max_attempts": 1},
        connector_args={"resolver": resolver(account), "use_dns_cache": False},
        proxies={},
        ignore_configured_endpoint_urls=True,
        request_checksum_calculation="when_required",
        s3={"addressing_style": "path" if account.endpoint else "auto"},
    )
    session = await asyncio.to_thread(_session)
    region = account.region or DEFAULT_REGION
    making = session.client(
        "s3",
        aws_access_key_id=account.key,
        aws_secret_access_key=account.secret,
        region_name=region,
        endpoint_url=account.endpoint or None,
        config=config,
    )
    async with AsyncExitStack() as stack:
        with _mapped():
            client = await stack.enter_async_context(making)
        yield S3Cloud(client, region)


@cache
def _session() -> Any:
    """Made once, in a thread: what an SDK reads from its files for a tenth of a second is then in memory for all."""
    reading = BlockingSession()
    reading.create_client("s3", region_name=DEFAULT_REGION)
    core = AioSession()
    core.register_component("data_loader", reading.get_component("data_loader"))
    core.get_scoped_config()
    return aioboto3.Session(botocore_session=core)


class S3Cloud:
    """See `Cloud`."""

    def __init__(self, client: Any, region: str) -> None:
        self._client = client
        self._region = region

    async def head(self, bucket: str) -> None:
        with _mapped():
            await self._client.head_bucket(Bucket=bucket)

    async def make(self, bucket: str, *, object_lock: bool) -> None:
        wanted: dict[str, Any] = {"ObjectLockEnabledForBucket": True} if object_lock else {}
        if self._region != DEFAULT_REGION:
            wanted["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        with _mapped():
            await self._client.create_bucket(Bucket=bucket, **wanted)

    async def status(self, bucket: str) -> Flags:
        client = self._client
        with _mapped():
            versions = await client.get_bucket_versioning(Bucket=bucket)  # of a bucket that is not there, first
            encryption, locking, policy, acl, block = await _all(
                _known(client.get_bucket_encryption(Bucket=bucket)),
                _known(client.get_object_lock_configuration(Bucket=bucket)),
                _known(client.get_bucket_policy(Bucket=bucket)),
                _known(client.get_bucket_acl(Bucket=bucket)),
                _known(client.get_public_access_block(Bucket=bucket)),
            )
        return Flags(
            versioning=versions.get("Status") == "Enabled",
            encryption=bool(encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules")),
            public=_is_public(policy, acl, block.get("PublicAccessBlockConfiguration", {})),
            object_lock=locking.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled",
        )

    async def set_versioning(self, bucket: str, *, on: bool) -> None:
        status = {"Status": "Enabled" if on else "Suspended"}
        with _mapped():
            await self._client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)

    async def set_encryption(self, bucket: str, *, on: bool) -> None:
        with _mapped():
            if not on:
                await self._client.delete_bucket_encryption(Bucket=bucket)
                return
            rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            await self._client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    async def set_public(self, bucket: str, *, on: bool) -> None:
        client = self._client
        with _mapped():
            policy = _policy(await _known(client.get_bucket_policy(Bucket=bucket)))
            statements = [one for one in policy["Statement"] if not _opens_to_everybody(one)]
            if on:
                await _known(client.delete_public_access_block(Bucket=bucket))
                statements.append(self._anybody_reads(bucket))
            if statements:
                text = json.dumps({**policy, "Statement": statements})
                await client.put_bucket_policy(Bucket=bucket, Policy=text)
            elif policy["Statement"]:
                await client.delete_bucket_policy(Bucket=bucket)
            if not on and _granted_to_everybody(await _known(client.get_bucket_acl(Bucket=bucket))):
                await client.put_bucket_acl(Bucket=bucket, ACL="private")

    async def remove(self, bucket: str) -> None:
        """Looks first: some stores take a bucket away with the versions that are left in it."""
        with _mapped():
            held = await self._client.list_object_versions(Bucket=bucket, MaxKeys=1)
            if held.get("Versions") or held.get("DeleteMarkers"):
                raise BucketNotEmpty
            await self._client.delete_bucket(Bucket=bucket)

    def _anybody_reads(self, bucket: str) -> dict[str, Any]:
        partition = next((name for start, name in _PARTITIONS if self._region.startswith(start)), "aws")
        return {
            "Sid": "AnybodyReads",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:{partition}:s3:::{bucket}/*",
        }


def _policy(answer: dict[str, Any]) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(answer.get("Policy") or '{"Version": "2012-10-17", "Statement": []}')
    statements = policy.get("Statement", [])
    return {**policy, "Statement": statements if isinstance(statements, list) else [statements]}


def _opens_to_everybody(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = principal.get("AWS") if isinstance(principal, dict) else principal
    anybody = named == "*" or (isinstance(named, list) and "*" in named)
    return statement.get("Effect") == "Allow" and anybody and not statement.get("Condition")


def _granted_to_everybody(acl: dict[str, Any]) -> bool:
    return any(grant.get("Grantee", {}).get("URI") in EVERYBODY for grant in acl.get("Grants", ()))


def _is_public(policy: dict[str, Any], acl: dict[str, Any], block: dict[str, Any]) -> bool:
    by_policy = any(_opens_to_everybody(one) for one in _policy(policy)["Statement"])
    by_acl = _granted_to_everybody(acl)
    return (by_policy and not block.get("RestrictPublicBuckets")) or (by_acl and not block.get("IgnorePublicAcls"))


async def _all(*calls: Awaitable[dict[str, Any]]) -> list[dict[str, Any]]:
    """At once, and none of them goes on when another has failed."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


async def _known(call: Awaitable[Any]) -> dict[str, Any]:
    """The answer; empty where the aspect is not set, or the store has no such aspect."""
    try:
        answer: dict[str, Any] = await call
    except ClientError as error:
        if _code(error) in _NOT_SET or _is_unknown(error):
            return {}
        raise
    return answer


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_unknown(error: ClientError) -> bool:
    return _code(error) in _UNKNOWN or _status(error) in {405, 501}


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _meaning(error) from error
    except InvalidRegionError as error:
        raise InvalidRequest("The account's region is no region.", reason="malformed_region") from error
    except ParamValidationError as error:
        raise InvalidBucketName from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise BackendTimeout("The cloud did not answer in time.") from error
    except (ConnectionError, HTTPClientError) as error:
        raise BackendUnreachable("The cloud cannot be reached.") from error
    except (BotoCoreError, ValueError) as error:
        raise BackendMisbehaved("The cloud's answer cannot be read.") from error


def _meaning(error: ClientError) -> BridgeError:
    if _is_unknown(error):
        return NotSupported("This store does not do that.", reason="not_known_to_the_store")
    meaning = _MEANINGS.get(_code(error)) or _OF_STATUS.get(_status(error))
    if meaning is None:
        return BackendMisbehaved(f"The cloud refuses: {_code(error)[:64]}", reason="refused")
    return meaning()
