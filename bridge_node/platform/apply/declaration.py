"""What `bridge-node platform apply` reads: a file that says which buckets and repositories a workspace has.

Read as the configuration is: every problem at once, and secrets by reference.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from bridge_node.configuration.checks import Finding
from bridge_node.configuration.problems import KeyPath, quoted
from bridge_node.configuration.program import Program
from bridge_node.platform import credentials
from bridge_node.platform.credentials import Problem
from bridge_node.platform.endpoints import normalised
from bridge_node.platform.fields import AccessType, Mode, Name, Options, ShortText, Spoken, StorageType
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store.providerkeys import storage_type_of
from bridge_node.settings import Location, Secret, Section

Endpoint = Annotated[str, Field(max_length=512), AfterValidator(normalised)]


class DeclaredProviderKey(Section):
    """Credentials of an account at a cloud, which buckets can share."""

    provider: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(str.upper)]
    """`AWS`, `GCP`, `AZURE`, `OTHER` for what speaks S3, or `LOCAL` for a directory of the nodes."""
    key: ShortText = ""
    """Access key id, client e-mail or account name."""
    secret: Secret = SecretStr("")
    """Its secret."""
    endpoint: Endpoint = ""
    """`https://host[:port]`; empty means the provider's own."""
    region: ShortText = ""
    """Region of its buckets, unless they have one of their own."""
    tenant_id: ShortText = ""
    """Directory of an Azure account."""
    subscription_id: ShortText = ""
    """Subscription of an Azure account."""
    root: str = ""
    """Of a LOCAL one: the name of one of the nodes' `local_roots`, whose directories are the account's buckets."""


class DeclaredBucket(Section):
    """A bucket or container, reached with a provider key or with credentials of its own."""

    bucket: Annotated[str, Field(min_length=1, max_length=255)]
    """Its real name."""
    storage_type: StorageType = "S3"
    """What is spoken there."""
    provider_key: str = ""
    """The name of a provider key, instead of `key` and `secret`."""
    key: ShortText = ""
    """Access key id, client e-mail or account name."""
    secret: Secret = SecretStr("")
    """Its secret."""
    endpoint: Endpoint = ""
    """`https://host[:port]`; empty means the provider's own."""
    region: ShortText = ""
    """Its region."""
    project_id: ShortText = ""
    """Project of a GCS bucket."""
    root: str = ""
    """Of a LOCAL bucket: the name of one of the nodes' `local_roots`."""


class DeclaredAttachment(Section):
    """A bucket of a repository."""

    bucket: Name
    """Its name in `buckets`."""
    folder: ShortText = ""
    """A second name under which clients find it."""
    master: bool = False
    """Whether it is the one that the others are copies of."""
    options: Options = Field(default_factory=dict)
    """Extensions."""


class DeclaredAccount(Section):
    """A whole account of a repository: every bucket of it."""

    provider_key: Name
    """Its name in `provider_keys`."""
    options: Options = Field(default_factory=dict)
    """Extensions."""


class DeclaredKey(Section):
    """An access key of a repository. Key id and secret are made by the platform and shown once."""

    access: AccessType = "READ"
    """`READ`; `WRITE` reads too; `ADMIN` may do everything."""
    buckets: tuple[str, ...] | None = None
    """Names of the only buckets that it opens; none: all of the repository."""


class DeclaredRepository(Section):
    """What an application addresses: buckets, and the keys that open them."""

    storage_type: Spoken = "S3"
    """What its clients speak."""
    mode: Mode = "NORMAL"
    """`NORMAL`: each bucket under its name; `MIRROR`: copies of one master."""
    disabled: bool = False
    """Whether nodes let it be read only."""
    options: Options = Field(default_factory=dict)
    """Extensions."""
    buckets: tuple[DeclaredAttachment, ...] = ()
    """Its buckets."""
    accounts: tuple[DeclaredAccount, ...] = ()
    """Its whole accounts."""
    keys: dict[Name, DeclaredKey] = Field(default_factory=dict)
    """Its access keys, by name."""


class Declaration(Section):
    """One workspace of one organisation."""

    organisation: str = ""
    """Name or id; may be left out where there is only one."""
    workspace: str = ""
    """Name or id; may be left out where there is only one."""
    secrets_directory: Location | None = None
    """Where {name = …} secrets are looked for after $CREDENTIALS_DIRECTORY."""
    provider_keys: dict[Name, DeclaredProviderKey] = Field(default_factory=dict)
    """Credentials that buckets share, by name; the platform keeps the name as their description."""
    buckets: dict[Name, DeclaredBucket] = Field(default_factory=dict)
    """Buckets, by name."""
    repositories: dict[Name, DeclaredRepository] = Field(default_factory=dict)
    """Repositories, by name."""


def program(settings: PlatformSettings) -> Program[Declaration]:
    """How a declaration is read for a platform with these settings."""
    return Program(Declaration, "", partial(check, settings))


def check(settings: PlatformSettings, declared: Declaration) -> Iterator[Finding]:
    """Everything that the platform, or a node, would refuse."""
    for name, key in declared.provider_keys.items():
        yield from _provider_key(settings, ("provider_keys", name), key)
    for name, bucket in declared.buckets.items():
        yield from _bucket(settings, declared, ("buckets", name), bucket)
    for name, repository in declared.repositories.items():
        yield from _repository(declared, ("repositories", name), repository)
    yield from _mirrors(declared)


def _provider_key(settings: PlatformSettings, path: KeyPath, key: DeclaredProviderKey) -> Iterator[Finding]:
    yield from _rooted(path, key, local=key.provider == "LOCAL")
    said = credentials.ProviderKey(
        provider=key.provider,
        key=key.key,
        secret=key.secret.get_secret_value(),
        endpoint=key.root or key.endpoint,
    )
    yield from _findings(path, credentials.problems_of_key(said, settings), local=key.provider == "LOCAL")


def _bucket(
    settings: PlatformSettings, declared: Declaration, path: KeyPath, bucket: DeclaredBucket
) -> Iterator[Finding]:
    local = bucket.storage_type == "LOCAL"
    yield from _rooted(path, bucket, local=local)
    provider, provider_endpoint = None, ""
    if bucket.provider_key:
        yield from _known((*path, "provider_key"), bucket.provider_key, declared.provider_keys)
        named = declared.provider_keys.get(bucket.provider_key)
        provider, provider_endpoint = (named.provider, named.endpoint) if named else ("", "")
    said = credentials.Bucket(
        storage_type=bucket.storage_type,
        bucket=bucket.bucket,
        key=bucket.key,
        secret=bucket.secret.get_secret_value(),
        endpoint=bucket.root or bucket.endpoint,
        provider=provider,
        provider_endpoint=provider_endpoint,
    )
    yield from _findings(path, credentials.problems_of_bucket(said, settings), local=local)


def _rooted(path: KeyPath, declared: DeclaredProviderKey | DeclaredBucket, *, local: bool) -> Iterator[Finding]:
    """What is LOCAL has a root in the place of an endpoint, and nothing else has one."""
    if declared.root and not local:
        yield Finding((*path, "root"), "has a meaning for what is LOCAL only")
    if declared.endpoint and local:
        yield Finding(path, "what is LOCAL has neither credentials nor an endpoint")


def _findings(path: KeyPath, problems: Iterable[Problem], *, local: bool) -> Iterator[Finding]:
    for problem in problems:
        name = "root" if local and problem.field == "endpoint" else problem.field
        yield Finding((*path, name) if name else path, problem.message)


def _repository(declared: Declaration, path: KeyPath, repository: DeclaredRepository) -> Iterator[Finding]:
    for index, attached in enumerate(repository.buckets):
        yield from _known((*path, "buckets", index, "bucket"), attached.bucket, declared.buckets)
    for index, account in enumerate(repository.accounts):
        yield from _known((*path, "accounts", index, "provider_key"), account.provider_key, declared.provider_keys)
        key = declared.provider_keys.get(account.provider_key)
        if key and storage_type_of(key.provider) is None:
            yield Finding((*path, "accounts", index, "provider_key"), f"{key.provider} stores nothing")
    names = [attached.bucket for attached in repository.buckets]
    for name, access_key in repository.keys.items():
        for index, bucket in enumerate(access_key.buckets or ()):
            yield from _known((*path, "keys", name, "buckets", index), bucket, names, "a bucket of this repository")
    if repository.mode == "MIRROR":
        if sum(attached.master for attached in repository.buckets) != 1:
            yield Finding((*path, "buckets"), "exactly one bucket of a MIRROR is its master")
    else:
        yield from _names_on_the_wire(declared, (*path, "buckets"), repository)


def _names_on_the_wire(declared: Declaration, path: KeyPath, repository: DeclaredRepository) -> Iterator[Finding]:
    """Every name leads to one bucket (contract §9.2). Of a container, clients also know the account."""
    named = [
        (index, {declared.buckets[attached.bucket].bucket, attached.folder.removeprefix("/")} - {""})
        for index, attached in enumerate(repository.buckets)
        if attached.bucket in declared.buckets
    ]
    for (_, names), (index, others) in combinations(named, 2):
        if shared := names & others:
            yield Finding((*path, index), f"{quoted(min(shared))} is the name of another bucket of this repository")


def _mirrors(declared: Declaration) -> Iterator[Finding]:
    """A bucket of a MIRROR is in no other repository."""
    mirrored = {
        attached.bucket: name
        for name, repository in declared.repositories.items()
        if repository.mode == "MIRROR"
        for attached in repository.buckets
    }
    for name, repository in declared.repositories.items():
        for index, attached in enumerate(repository.buckets):
            if mirrored.get(attached.bucket, name) != name:
                message = f"{quoted(attached.bucket)} belongs to the mirror {quoted(mirrored[attached.bucket])}"
                yield Finding(("repositories", name, "buckets", index, "bucket"), message)


def _known(path: KeyPath, name: str, known: Any, what: str = "") -> Iterator[Finding]:
    if name not in known:
        yield Finding(path, f"{quoted(name)} is not {what or 'in this file'}")
