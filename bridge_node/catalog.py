"""What this node may serve: repositories, their access keys, their attached buckets. Immutable, swapped whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr

from bridge_node.operations import Access

NO_SECRET = SecretStr("")


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """How to reach one account at one place that stores objects. Equal specs share one backend instance.

    `name` is the operator's label of it, used in logs and metrics. Fields that a kind does not use stay at defaults.
    """

    name: str
    kind: Literal["s3", "local", "memory"]
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: SecretStr = NO_SECRET
    session_token: SecretStr = NO_SECRET
    addressing: Literal["path", "virtual"] = "path"
    checksum: Literal["crc64nvme", "crc32c", "md5", "none"] = "crc32c"
    """Digest that the node adds to writes for which the client declared none (checklist 12)."""
    root: str = ""
    """Directory of a `local` backend."""
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    """`http://[user:password@]host:port`."""
    allow_private_addresses: bool = True
    """False for endpoints that a tenant named (promise 19); the operator's own configuration sets True."""
    connections: int = 128
    waiting: int = 256
    wait_seconds: float = 1.0
    connect_seconds: float = 5.0
    idle_seconds: float = 60.0
    """Longest silence of the backend within an exchange."""
    keepalive_seconds: float = 4.0
    """How long an idle connection stays usable; below the backend's own limit (checklist 61)."""
    retry_ratio: float = 0.1
    part_size: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BucketAttachment:
    """One backend bucket of a repository; clients find it by `bucket`, then by `folder`."""

    id: str
    backend: BackendSpec
    bucket: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class AccountAttachment:
    """A whole backend account: every bucket of it, and ADMIN keys may create and delete some."""

    id: str
    backend: BackendSpec


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bucket name on the wire leads."""

    attachment: BucketAttachment | AccountAttachment
    bucket: str
    """The backend's own name of the bucket."""

    @property
    def backend(self) -> BackendSpec:
        return self.attachment.backend


@dataclass(frozen=True, slots=True)
class Repository:
    """A set of attached buckets that clients of one protocol address."""

    id: str
    name: str
    protocol: Literal["s3", "gcs", "azure"]
    token_key: bytes = field(repr=False)
    """32 bytes; continuation tokens and upload ids made with it work on every worker and node."""
    buckets: tuple[BucketAttachment, ...] = ()
    accounts: tuple[AccountAttachment, ...] = ()
    previous_token_key: bytes = field(default=b"", repr=False)
    unattached_sources: bool = False
    disabled: bool = False
    """Switched off at the platform: what is there can be read, and nothing changes."""
    names: Mapping[str, BucketAttachment] = field(init=False, repr=False, compare=False)
    """What each name on the wire means: a real name before a folder, the first attachment before later ones."""

    def __post_init__(self) -> None:
        folders = {attachment.folder: attachment for attachment in reversed(self.buckets) if attachment.folder}
        buckets = {attachment.bucket: attachment for attachment in reversed(self.buckets)}
        object.__setattr__(self, "names", folders | buckets)

    def attached(self, name: str) -> BucketAttachment | None:
        """The attached bucket that `name` means: by real name, then by folder."""
        return self.names.get(name)

    @property
    def attachments(self) -> tuple[str, ...]:
        """Ids of all its buckets and accounts."""
        return (*(bucket.id for bucket in self.buckets), *(account.id for account in self.accounts))

    def counted_as(self, name: str) -> str:
        """Id of the attachment that usage of `name` belongs to: what is not attached lies in an account, if any."""
        attachment = self.names.get(name) or next(iter(self.accounts), None)
        return attachment.id if attachment else ""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A repository's credential. `buckets` limits it to these names on the wire (None: all of the repository)."""

    id: str
    secret: SecretStr
    repository: str
    access: Access
    buckets: frozenset[str] | None = None
    platform_id: str = ""
    """The platform's own id of it, by which usage is reported; empty for keys of the configuration file."""


@dataclass(frozen=True)
class Catalog:
    """Lookups only; a request keeps the catalog that it began with."""

    version: int = 0
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    keys: Mapping[str, AccessKey] = field(default_factory=dict)

    def backends(self) -> frozenset[BackendSpec]:
        """Every backend that some repository uses."""
        return frozenset(
            spec
            for repository in self.repositories.values()
            for spec in (
                *(bucket.backend for bucket in repository.buckets),
                *(account.backend for account in repository.accounts),
            )
        )


def joined(own: Catalog, given: Catalog, version: int) -> Catalog:
    """The operator's own catalog and what a platform gave. What is the operator's cannot be taken over."""
    repositories = {name: one for name, one in given.repositories.items() if name not in own.repositories}
    keys = {name: key for name, key in given.keys.items() if key.repository in repositories and name not in own.keys}
    return Catalog(version, {**repositories, **own.repositories}, {**keys, **own.keys})


class CatalogHolder:
    """The catalog in force, and who wants to know when it changes."""

    def __init__(self, catalog: Catalog) -> None:
        self.current = catalog
        self._listeners: list[Callable[[Catalog], None]] = []

    def subscribe(self, listener: Callable[[Catalog], None]) -> None:
        self._listeners.append(listener)

    def swap(self, catalog: Catalog) -> None:
        """Puts a complete, checked catalog in force."""
        self.current = catalog
        for listener in self._listeners:
            listener(catalog)
