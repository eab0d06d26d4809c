"""What may be declared of a bucket and of what reaches it, for whoever declares one (promises 18 and 19).

Pure: values go in, the rules that they break come out. Whether a bucket answers is another question: `validation`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge_node.backends.bucketnames import is_bucket_name
from bridge_node.platform.endpoints import is_private
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store.providerkeys import storage_type_of

_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]{0,254}")
"""Names of every cloud, and nothing that leads elsewhere in a path."""
_ROLE = re.compile(r"\s*arn:", re.IGNORECASE)
_STORAGE_ACCOUNT = re.compile(r"[A-Za-z0-9-]{3,63}")
"""It becomes a part of a host's name."""


class Problem(NamedTuple):
    """A rule that does not hold. `field` names the value that breaks it; empty where it takes several."""

    field: str
    message: str


class Destination(NamedTuple):
    """Where requests go, and how they are authenticated."""

    storage_type: str | None
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket as somebody wants it. `key` and `secret` are its own; what begins with `provider` is its key's."""

    storage_type: str
    bucket: str
    key: str = ""
    secret: str = field(default="", repr=False)
    endpoint: str = ""
    provider: str | None = None
    provider_endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """Credentials of an account at a provider."""

    provider: str
    key: str
    secret: str = field(repr=False)
    endpoint: str = ""


def problems_of_bucket(bucket: Bucket, settings: PlatformSettings) -> Iterator[Problem]:
    """Fields are those of `Bucket`, and `provider_key` for the one that it names."""
    if bucket.storage_type == "LOCAL":
        if not is_bucket_name(bucket.bucket):
            yield Problem("bucket", "is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
        alone = not (bucket.key or bucket.secret) and bucket.provider is None
        yield from _of_root(bucket.endpoint, settings, alone=alone)
        return
    if not _BUCKET.fullmatch(bucket.bucket):
        yield Problem("bucket", "is no name of a bucket or container")
    yield from _of_endpoint(bucket.endpoint, settings)
    if bucket.provider is None:
        yield from _of_credentials(bucket.storage_type, bucket.key, bucket.secret, or_else=", or a provider key")
        return
    if bucket.endpoint not in {"", bucket.provider_endpoint} and bucket.storage_type in _REUSABLE:
        yield Problem("endpoint", "must be that of the provider key: others would get what opens the whole account")
    if bucket.secret:
        yield Problem("", "has a provider key and credentials of its own: one of them is too much")
    if storage_type_of(bucket.provider) is None:
        yield Problem("provider_key", f"{bucket.provider} stores nothing")
    if bucket.provider == "LOCAL":
        yield Problem("provider_key", "a LOCAL one is a whole account, and reaches no bucket of its own")


def problems_of_key(key: ProviderKey, settings: PlatformSettings) -> Iterator[Problem]:
    """Fields are those of `ProviderKey`."""
    if key.provider == "LOCAL":
        yield from _of_root(key.endpoint, settings, alone=not (key.key or key.secret))
        return
    yield from _of_endpoint(key.endpoint, settings)
    yield from _of_credentials(storage_type_of(key.provider) or "", key.key, key.secret)


def problems_of_kept_secret(before: Destination, after: Destination) -> Iterator[Problem]:
    """A secret that its owner does not give again goes nowhere new, if whoever is there could use what it gets."""
    if after != before and after.endpoint and after.storage_type in _REUSABLE:
        yield Problem("secret", "is needed when the endpoint changes: it would be used there")


_REUSABLE = frozenset({"GCS", "BLOB"})
"""Requests to these carry tokens, or signatures that name no host: who gets one can use it at the provider. S3's do."""


def _of_root(root: str, settings: PlatformSettings, *, alone: bool) -> Iterator[Problem]:
    """What is LOCAL is a directory of the nodes, and nothing else."""
    if root not in settings.local_roots:
        yield Problem("endpoint", "must name one of the platform's `local_roots`")
    if not alone:
        yield Problem("", "what is LOCAL has neither credentials nor a provider key")


_PRIVATE = "is a private address, which `allow_private_endpoints` of the platform does not allow"


def _of_endpoint(endpoint: str, settings: PlatformSettings) -> Iterator[Problem]:
    """A name is judged when it is connected to: only then it is known where it leads."""
    if endpoint and not settings.allow_private_endpoints and is_private(endpoint):
        yield Problem("endpoint", _PRIVATE)


_DELEGATED = "delegated access needs an identity of the operator's own at the provider, which this platform has not"


def _of_credentials(storage_type: str, key: str, secret: str, *, or_else: str = "") -> Iterator[Problem]:
    """What would make a node or an SDK use the identity of its host, or read what a tenant names, is refused."""
    if _ROLE.match(key):
        yield Problem("key", _DELEGATED)
    elif key and not secret and storage_type in {"GCS", "BLOB"}:
        yield Problem("secret", f"is needed: {_DELEGATED}")
    elif not (key and secret):
        yield Problem("", f"needs `key` and `secret`{or_else}")
    if storage_type == "GCS" and (_is_document(key) or _is_document(secret)):
        yield Problem("secret", "must be the private key (PEM), and `key` the e-mail: no file with either is read")
    if storage_type == "BLOB" and key and not _STORAGE_ACCOUNT.fullmatch(key):
        yield Problem("key", "is no name of a storage account")


def _is_document(text: str) -> bool:
    """JSON may name addresses and files, which are believed by whoever loads it."""
    return text.lstrip("\ufeff \t\r\n").startswith(("{", "["))
