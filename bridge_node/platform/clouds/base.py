"""What every cloud can be asked about a bucket, and what comes of it."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["s3", "gcs", "azure"]


@dataclass(frozen=True, slots=True)
class Account:
    """Who administrates buckets, and where.

    s3: access key id and secret. gcs: a service account's e-mail and private key (PEM). azure: name and key of a
    storage account. Without `endpoint` it is the provider's own.
    """

    kind: Kind
    key: str
    secret: str = field(repr=False)
    endpoint: str = ""
    region: str = ""
    allow_private: bool = False
    """Whether the endpoint may be an address that the public network does not reach (promise 19)."""


@dataclass(frozen=True, slots=True)
class Flags:
    """How a bucket is. `public`: anybody may read its objects."""

    versioning: bool = False
    encryption: bool = False
    public: bool = False
    object_lock: bool = False


class Cloud(Protocol):
    """One account at one cloud.

    Everything raises NoSuchBucket where the cloud says so, BackendRefused for credentials that do not do, NotSupported
    for what this cloud does not do, and BackendFailure for the rest: nothing is ever taken for done that is not.
    """

    async def head(self, bucket: str) -> None:
        """Reaches the bucket with these credentials."""

    async def make(self, bucket: str, *, object_lock: bool) -> None:
        """A new bucket, private. Raises BucketExists, BucketOwnedByCaller and InvalidBucketName."""

    async def status(self, bucket: str) -> Flags:
        """As the cloud has it now."""

    async def set_versioning(self, bucket: str, *, on: bool) -> None: ...

    async def set_encryption(self, bucket: str, *, on: bool) -> None:
        """Encryption with the cloud's own keys."""

    async def set_public(self, bucket: str, *, on: bool) -> None: ...

    async def remove(self, bucket: str) -> None:
        """Raises BucketNotEmpty while an object or a version is in it."""
