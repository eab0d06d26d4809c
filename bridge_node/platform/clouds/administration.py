"""Buckets with flags, the same at every cloud: made whole or not at all, changed only where they differ."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from bridge_node.backends.bucketnames import check_bucket_name
from bridge_node.errors import BridgeError, BucketOwnedByCaller, InvalidRequest, NoSuchBucket, NotSupported
from bridge_node.platform.clouds import Account, Cloud, Flags, reached

log = structlog.get_logger()

SETTLING_SECONDS = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)
"""Between looks at what was set: a cloud may tell the old state of a bucket's configuration for a moment."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a bucket should be; None leaves it as it is."""

    versioning: bool | None = None
    encryption: bool | None = None
    public: bool | None = None

    def onto(self, flags: Flags) -> Flags:
        wanted = {name: getattr(self, name) for name in self.__slots__}
        return replace(flags, **{name: value for name, value in wanted.items() if value is not None})


async def create(account: Account, bucket: str, flags: Flags) -> None:
    """A new bucket with at least these flags: what a cloud does always cannot be left out.

    Raises InvalidBucketName, BucketExists, BucketOwnedByCaller and what `Cloud` raises. A bucket whose flags cannot be
    set is removed again.
    """
    check_bucket_name(bucket)
    async with reached(account) as cloud:
        await _check_absent(cloud, bucket)
        await cloud.make(bucket, object_lock=flags.object_lock)
    try:
        async with reached(account) as cloud:
            there = await cloud.status(bucket)
            wanted = Flags(**{name: getattr(flags, name) or getattr(there, name) for name in Flags.__slots__})
            await _bring(cloud, bucket, there, wanted)
    except BaseException:
        await _undo(account, bucket)
        raise


async def _check_absent(cloud: Cloud, bucket: str) -> None:
    """One region of Amazon's takes the making of a bucket that is there for done, and we would undo it."""
    try:
        await cloud.head(bucket)
    except NoSuchBucket:
        return
    raise BucketOwnedByCaller(BucketName=bucket)


async def _undo(account: Account, bucket: str) -> None:
    try:
        async with reached(account) as cloud:
            await cloud.remove(bucket)
    except BridgeError as error:
        log.warning("half_made_bucket_left", bucket=bucket, reason=error.reason)


async def update(account: Account, bucket: str, change: Change) -> Flags:
    """Changes what differs, and says how it was before. Raises InvalidRequest for versions switched off under a lock,
    and what `Cloud` raises."""
    async with reached(account) as cloud:
        there = await cloud.status(bucket)
        wanted = change.onto(there)
        if there.object_lock and there.versioning and not wanted.versioning:
            raise InvalidRequest("Versions cannot be switched off in a bucket with object lock.")
        await _bring(cloud, bucket, there, wanted)
        return there


async def status(account: Account, bucket: str) -> Flags:
    """As the cloud has it now. Raises what `Cloud` raises."""
    async with reached(account) as cloud:
        return await cloud.status(bucket)


async def delete(account: Account, bucket: str) -> None:
    """Raises BucketNotEmpty, and what `Cloud` raises."""
    async with reached(account) as cloud:
        await cloud.remove(bucket)


async def _bring(cloud: Cloud, bucket: str, there: Flags, wanted: Flags) -> None:
    """What was set is read back: a cloud that takes a wish and does not keep it refuses it all the same."""
    if wanted == there:
        return
    if wanted.encryption != there.encryption:
        await cloud.set_encryption(bucket, on=wanted.encryption)
    if wanted.versioning != there.versioning:
        await cloud.set_versioning(bucket, on=wanted.versioning)
    if wanted.public != there.public:
        await cloud.set_public(bucket, on=wanted.public)
    found = await _settled(cloud, bucket, wanted)
    if found != wanted:
        differing = ", ".join(name for name in Flags.__slots__ if getattr(found, name) != getattr(wanted, name))
        raise NotSupported(f"The cloud took a change and did not keep it: {differing}", reason="flag_not_kept")


async def _settled(cloud: Cloud, bucket: str, wanted: Flags) -> Flags:
    found = await cloud.status(bucket)
    for pause in SETTLING_SECONDS:
        if found == wanted:
            break
        await asyncio.sleep(pause)
        found = await cloud.status(bucket)
    return found
