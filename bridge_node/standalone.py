"""The catalog of a node that stands alone: built from its own configuration, no platform asked."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, BucketAttachment, Catalog, Repository
from bridge_node.configuration import ConfigurationError, Problem
from bridge_node.configuration.lookup import exposure
from bridge_node.operations import Access
from bridge_node.settings import BackendSettings, RepositorySettings, Settings

TOKEN_KEY_FILE = "token.key"  # noqa: S105 - a file's name
TOKEN_KEY_BYTES = 32


def from_settings(settings: Settings, version: int = 1) -> Catalog:
    """What checked settings serve. Ids depend on names only, so they are the same after a restart and on every node.

    Makes `token.key` in the state directory when a repository has no `token_key` of its own and the file is not there
    yet. Raises ConfigurationError when that file cannot be used.
    """
    backends = backend_specs(settings)
    repositories = {
        name: _repository(name, repository, backends, settings.state_directory)
        for name, repository in settings.repositories.items()
    }
    keys = {
        key.access_key: AccessKey(
            id=key.access_key,
            secret=key.secret_key,
            repository=name,
            access=Access.of_repository_key(key.access),
            buckets=None if key.buckets is None else frozenset(key.buckets),
        )
        for name, repository in settings.repositories.items()
        for key in repository.keys
    }
    return Catalog(version, repositories, keys)


def backend_specs(settings: Settings) -> dict[str, BackendSpec]:
    """How to reach each backend that checked settings name."""
    return {name: _spec(name, backend, settings) for name, backend in settings.backends.items()}


def _spec(name: str, backend: BackendSettings, settings: Settings) -> BackendSpec:
    return BackendSpec(
        name=name,
        kind=backend.kind,
        endpoint=backend.endpoint,
        region=backend.region,
        access_key=backend.access_key,
        secret_key=backend.secret_key,
        session_token=backend.session_token,
        addressing=backend.addressing,
        checksum=backend.checksum,
        root=str(settings.local_roots[backend.root]) if backend.kind == "local" else "",
        ca_file=str(backend.ca_file or ""),
        proxy=_proxy(backend),
        connections=backend.connections,
        waiting=backend.waiting,
        wait_seconds=backend.wait_seconds,
        connect_seconds=backend.connect_seconds,
        idle_seconds=backend.idle_seconds,
        keepalive_seconds=backend.keepalive_seconds,
        retry_ratio=backend.retry_ratio,
    )


def _proxy(backend: BackendSettings) -> str:
    login = backend.proxy_login.get_secret_value()
    if not login:
        return backend.proxy
    scheme, _, host = backend.proxy.partition("://")
    return f"{scheme}://{quote(login, safe=':')}@{host}"


def _repository(
    name: str, repository: RepositorySettings, backends: dict[str, BackendSpec], state_directory: Path
) -> Repository:
    if repository.token_key:
        shared = base64.b64decode(repository.token_key.get_secret_value())
    else:
        shared = token_key(state_directory)
    return Repository(
        id=name,
        name=name,
        protocol=repository.protocol,
        token_key=_derived(shared, name),
        buckets=tuple(
            BucketAttachment(
                bucket.id or f"{name}/{bucket.backend}/{bucket.bucket}",
                backends[bucket.backend],
                bucket.bucket,
                bucket.folder,
            )
            for bucket in repository.buckets
        ),
        accounts=tuple(AccountAttachment(f"{name}/{account}", backends[account]) for account in repository.accounts),
        unattached_sources=repository.unattached_sources,
    )


def _derived(shared: bytes, repository: str) -> bytes:
    """A repository's own key, so that no token of one repository opens in another."""
    return hmac.digest(shared, f"repository {repository}".encode(), hashlib.sha256)


def token_key(state_directory: Path) -> bytes:
    """The node's own 32 bytes, made once. Several processes may ask at the same time: all get the same.

    The file holds what `token_key` of a repository takes, so it can be copied to nodes that are to share it.
    """
    path = state_directory / TOKEN_KEY_FILE
    try:
        if not path.exists():
            _make_token_key(path)
        if complaint := exposure(path):
            raise ConfigurationError([Problem(str(path), "", complaint)])
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        problem = f"cannot be made or read: {error.strerror}; is state_directory writable for this user?"
        raise ConfigurationError([Problem(str(path), "", problem)]) from error
    except ValueError:
        key = b""
    if len(key) != TOKEN_KEY_BYTES:
        problem = "is damaged: it must hold 32 bytes in base64; removing it ends uploads and listings under way"
        raise ConfigurationError([Problem(str(path), "", problem)])
    return key


def _make_token_key(path: Path) -> None:
    """Written aside and linked into place: the file appears whole, and the first process wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(TOKEN_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
