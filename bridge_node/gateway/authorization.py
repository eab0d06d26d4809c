"""Who may do what: decided from a key, its repository and an operation, before a byte of the body is read.

A bucket that a key may not see is refused in one way, whether it exists or not: NoSuchBucket for keys of the whole
repository, AccessDenied for keys limited to some buckets (promises 15 and 16).
"""

from bridge_node.catalog import AccessKey, Repository
from bridge_node.errors import AccessDenied, BucketOwnedByCaller, NoSuchBucket, RepositoryDisabled
from bridge_node.operations import (
    Access,
    BucketOperation,
    CopyObject,
    CreateBucket,
    DeleteBucket,
    Operation,
    StageCopy,
)


def authorize(key: AccessKey, repository: Repository, operation: Operation) -> None:
    """Raises AccessDenied, NoSuchBucket or BucketOwnedByCaller unless `key` may do `operation`."""
    if operation.access not in key.access:
        raise AccessDenied(reason="access_level")
    if repository.disabled and operation.access is not Access.READ:
        raise RepositoryDisabled
    if not isinstance(operation, BucketOperation):
        return
    if key.buckets is not None and not may_see(key, repository, operation.bucket):
        raise AccessDenied(reason="bucket_outside_key")
    if repository.attached(operation.bucket) is None and not repository.accounts:
        raise _unknown(operation)
    if isinstance(operation, CopyObject | StageCopy):
        _authorize_source(key, repository, operation.source.bucket)
    elif isinstance(operation, CreateBucket | DeleteBucket):
        _authorize_bucket_change(repository, operation)


def may_see(key: AccessKey, repository: Repository, bucket: str) -> bool:
    """Whether a bucket lies within the key's limits, under whichever of its names it is called."""
    if key.buckets is None or bucket in key.buckets:
        return True
    attachment = repository.attached(bucket)
    return attachment is not None and any(repository.attached(name) is attachment for name in key.buckets)


def _unknown(operation: BucketOperation) -> AccessDenied | NoSuchBucket:
    if isinstance(operation, CreateBucket):
        return AccessDenied(reason="no_account_attached")
    return NoSuchBucket(reason="bucket_not_attached", BucketName=operation.bucket)


def _authorize_source(key: AccessKey, repository: Repository, source: str) -> None:
    if Access.READ not in key.access:
        raise AccessDenied(reason="copy_source_access_level")
    if key.buckets is not None and not may_see(key, repository, source):
        raise AccessDenied(reason="copy_source_outside_key")
    attached = repository.attached(source) is not None or bool(repository.accounts)
    if not attached and (key.buckets is not None or not repository.unattached_sources):
        raise AccessDenied(reason="copy_source_not_attached")


def _authorize_bucket_change(repository: Repository, operation: CreateBucket | DeleteBucket) -> None:
    """Buckets come and go in whole-account attachments only; one that is attached by itself is the operator's."""
    if repository.attached(operation.bucket) is None:
        return
    if isinstance(operation, CreateBucket):
        raise BucketOwnedByCaller(BucketName=operation.bucket)
    raise AccessDenied(reason="bucket_attached_by_operator")
