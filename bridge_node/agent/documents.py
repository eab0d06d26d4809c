"""From a platform's document of a repository to values of the catalog. Pure: what cannot be served is Unusable.

A document is a stranger's word. It may name no path, only one of the operator's local roots; its endpoints are checked
again when a connection is made (promise 19), unless the operator lets the platform name addresses of his own networks.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import SecretStr

from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, BucketAttachment, Repository
from bridge_node.messages import (
    AttachmentDocument,
    BackendDocument,
    KeyDocument,
    PlaceDocument,
    RepositoryDocument,
    RightsKeyDocument,
)
from bridge_node.operations import Access

TOKEN_KEY_BYTES = 32
CHECKSUMS = ("crc64nvme", "crc32c", "md5", "none")


class Unusable(ValueError):
    """A document that this node cannot serve; the message names no secret."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator lets a platform name."""

    allow_private_addresses: bool = False
    roots: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """A document as the catalog has it."""

    repository: Repository
    keys: tuple[AccessKey, ...]


def served(document: RepositoryDocument, terms: Terms) -> Served:
    """Raises Unusable."""
    if document.protocol != "S3":
        raise Unusable(f"clients of this node do not speak {document.protocol}")
    if document.mode != "NORMAL":
        raise Unusable(f"mode {document.mode} is not served by this version")
    repository = Repository(
        id=document.id,
        name=document.name,
        protocol="s3",
        token_key=_token_key(document.token_key),
        buckets=tuple(_bucket(one, terms) for one in document.attachments if not one.account),
        accounts=tuple(AccountAttachment(one.id, _attached(one, terms)) for one in document.attachments if one.account),
        previous_token_key=_token_key(document.previous_token_key) if document.previous_token_key else b"",
        unattached_sources=document.options.get("unattached_sources") is True,
        disabled=document.disabled,
    )
    opening: list[KeyDocument | RightsKeyDocument] = [*document.keys, *(document.keys_by_rights or ())]
    keys = tuple(_key(one, document) for one in opening)
    if len({key.id for key in keys}) < len(keys):
        raise Unusable("two access keys have one id")
    return Served(repository, keys)


def backend_of(place: PlaceDocument, name: str, terms: Terms) -> BackendSpec:
    """What reaches a place that is asked for by itself; raises Unusable."""
    return _spec(name, place.backend, {}, terms)


def _token_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unusable("tokenKey is no base64") from error
    if len(key) != TOKEN_KEY_BYTES:
        raise Unusable("tokenKey has not 32 bytes")
    return key


def _bucket(attachment: AttachmentDocument, terms: Terms) -> BucketAttachment:
    if not attachment.bucket:
        raise Unusable(f"attachment {attachment.id} names no bucket")
    return BucketAttachment(attachment.id, _attached(attachment, terms), attachment.bucket, attachment.folder)


def _attached(attachment: AttachmentDocument, terms: Terms) -> BackendSpec:
    return _spec(attachment.id, attachment.backend, attachment.options, terms)


def _spec(name: str, backend: BackendDocument, options: Mapping[str, Any], terms: Terms) -> BackendSpec:
    match backend.kind:
        case "s3":
            return _s3(name, backend, options, terms)
        case "local":
            return _local(backend, terms)
    raise Unusable(f"backends of kind {backend.kind} are not served by this version")


def _s3(name: str, backend: BackendDocument, options: Mapping[str, Any], terms: Terms) -> BackendSpec:
    if not backend.key or not backend.secret:
        raise Unusable(f"attachment {name} has no credentials")  # nobody may borrow the node's own (promise 18)
    return BackendSpec(
        name=name,
        kind="s3",
        endpoint=backend.endpoint,
        region=backend.region or "us-east-1",
        access_key=backend.key,
        secret_key=SecretStr(backend.secret),
        addressing="virtual" if options.get("addressing") == "virtual" else "path",
        checksum=_checksum(options.get("checksum")),
        allow_private_addresses=terms.allow_private_addresses,
    )


def _checksum(asked: object) -> Literal["crc64nvme", "crc32c", "md5", "none"]:
    return cast("Literal['crc64nvme', 'crc32c', 'md5', 'none']", asked) if asked in CHECKSUMS else "crc32c"


def _local(backend: BackendDocument, terms: Terms) -> BackendSpec:
    """One backend for one root, whoever attaches it."""
    root = terms.roots.get(backend.root)
    if root is None:
        raise Unusable("the operator of this node offers no such local root")
    return BackendSpec(name=f"local-{backend.root}", kind="local", root=str(root))


def _key(key: KeyDocument | RightsKeyDocument, document: RepositoryDocument) -> AccessKey:
    if not key.secret:
        raise Unusable(f"access key {key.id} has no secret")
    return AccessKey(
        id=key.key,
        secret=SecretStr(key.secret),
        repository=document.id,
        access=_granted(key.rights) if isinstance(key, RightsKeyDocument) else _ACCESS[key.access],
        buckets=None if key.buckets is None else frozenset(key.buckets),
        platform_id=key.id,
    )


def _granted(rights: tuple[str, ...]) -> Access:
    """Those that this version knows, and nothing for the others."""
    return reduce(or_, (_RIGHTS[right] for right in rights if right in _RIGHTS), Access.NONE)


_RIGHTS = {"READ": Access.READ, "WRITE": Access.WRITE, "ADMIN": Access.ADMIN}
_ACCESS = {
    "READ": Access.READ,
    "WRITE": Access.of_repository_key("WRITE"),
    "READWRITE": Access.of_repository_key("WRITE"),
    "ADMIN": Access.of_repository_key("ADMIN"),
}
