"""What types alone cannot say: values that contradict each other, files that are not there, secrets too weak to use."""

import base64
import binascii
import ipaddress
import os
import re
import ssl
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from bridge_node.configuration.lookup import exposure
from bridge_node.configuration.problems import KeyPath, dotted, quoted
from bridge_node.settings import BackendSettings, Listener, Platform, RepositorySettings, Settings, Tls

MIN_SECRET_LENGTH = 16
MIN_SECRET_VARIETY = 8
"""Different characters that a client's secret must have."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Finding:
    """A contradiction, and the setting whose change would mend it."""

    path: KeyPath
    message: str


def check(settings: Settings) -> Iterator[Finding]:
    """Everything that makes these settings unusable."""
    yield from _own_names(settings)
    yield from _listeners(settings)
    yield from _names_of_this_node(settings)
    yield from _roots(settings)
    yield from _platform(settings)
    for name, backend in settings.backends.items():
        yield from _backend(settings, name, backend)
    yield from _shared_roots(settings)
    yield from _memory(settings)
    for name, repository in settings.repositories.items():
        yield from _attachments(settings, name, repository)
        yield from _names_on_the_wire(name, repository)
        yield from _keys(settings, name, repository)
    yield from _repeated_keys(settings)


def remarks(settings: Settings) -> Iterator[Finding]:
    """What works and is probably not what was meant."""
    if not settings.repositories and not settings.platform.url:
        yield Finding(("repositories",), "there are none: the node will serve nothing")
    used = {name for repository in settings.repositories.values() for name in _backends_of(repository)}
    for name in settings.backends:
        if name not in used:
            yield Finding(("backends", name), "no repository uses it")
    for name, repository in settings.repositories.items():
        if not repository.keys:
            yield Finding(("repositories", name, "keys"), "there are none: nobody can use this repository")
        if not _backends_of(repository):
            yield Finding(("repositories", name, "buckets"), "there are none, and no accounts: nothing to serve")


def _backends_of(repository: RepositorySettings) -> set[str]:
    return {*repository.accounts, *(bucket.backend for bucket in repository.buckets)}


def _own_names(settings: Settings) -> Iterator[Finding]:
    """They become labels of metrics and parts of ids."""
    for table in ("local_roots", "backends", "repositories"):
        for name in getattr(settings, table):
            if not _NAME.fullmatch(name):
                yield Finding((table, name), "names are letters, digits, '.', '_' and '-', at most 63 of them")


# the node


def _listeners(settings: Settings) -> Iterator[Finding]:
    place: KeyPath = ("gateway", "listeners")
    listeners: list[tuple[KeyPath, Listener]] = [
        ((*place, index), listener) for index, listener in enumerate(settings.gateway.listeners)
    ]
    if not listeners:
        yield Finding(place, "the node needs at least one listener")
    for path, listener in listeners:
        for index, tls in enumerate(listener.tls):
            yield from _readable((*path, "tls", index, "certificate"), tls.certificate)
            yield from _readable((*path, "tls", index, "private_key"), tls.private_key, secret=True)
            yield from _matching((*path, "tls", index), tls)
    for (first, one), (second, other) in combinations(listeners, 2):
        if _same_port(one.host, one.port, other.host, other.port):
            yield Finding((*second, "port"), f"port {other.port} is taken by {dotted(first)} already")
    admin = settings.admin
    for path, listener in listeners:
        if admin.enabled and _same_port(listener.host, listener.port, admin.host, admin.port):
            yield Finding(("admin", "port"), f"port {admin.port} is taken by {dotted(path)} already")


def _same_port(host: str, port: int, other_host: str, other_port: int) -> bool:
    return 0 != port == other_port and (host == other_host or bool({host, other_host} & _EVERY_ADDRESS))


def _readable(path: KeyPath, file: Path, *, secret: bool = False) -> Iterator[Finding]:
    try:
        with file.open("rb"):
            pass
        complaint = exposure(file) if secret else None
    except OSError as error:
        complaint = f"cannot be read: {error.strerror}"
    if complaint:
        yield Finding(path, f"{file} {complaint}")


def _matching(path: KeyPath, tls: Tls) -> Iterator[Finding]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.private_key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or "unusable").replace("_", " ").lower()
        yield Finding(path, f"{tls.certificate} and {tls.private_key} cannot be used together: {reason}")
    except OSError:
        return  # named already


def _names_of_this_node(settings: Settings) -> Iterator[Finding]:
    if not _REGION.fullmatch(settings.s3.region):
        yield Finding(("s3", "region"), f"{quoted(settings.s3.region)} is no region: letters, digits and hyphens")
    for index, domain in enumerate(settings.s3.domains):
        if complaint := _no_domain(domain):
            yield Finding(("s3", "domains", index), complaint)
    for index, url in enumerate(settings.s3.external_urls):
        if complaint := _no_url(url):
            yield Finding(("s3", "external_urls", index), complaint)
    for index, network in enumerate(settings.gateway.trusted_proxies):
        if not _is_network(network):
            yield Finding(
                ("gateway", "trusted_proxies", index), f"{quoted(network)} is no address or network such as 10.0.0.0/8"
            )
    for index, cors_origin in enumerate(settings.gateway.cors.origins):
        if cors_origin != "*" and (complaint := _no_url(cors_origin, slash=False)):
            yield Finding(("gateway", "cors", "origins", index), complaint)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _no_domain(domain: str) -> str | None:
    if domain.startswith("*."):
        return f"{quoted(domain)}: write {quoted(domain[2:])}: subdomains are meant"
    if not _HOST.fullmatch(domain) or _is_network(domain):
        return f"{quoted(domain)} is no host name: lower-case letters, digits, hyphens and dots, no port"
    return None


def _no_url(url: str, *, schemes: tuple[str, ...] = ("https", "http"), slash: bool = True) -> str | None:
    """Why `url` is not a scheme, a host and perhaps a port. Never shows one that carries a password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if "@" in parts.netloc:
        return "must not carry a user or password"
    if parts.scheme not in schemes or not host or re.search(r"[\s\\]", url):
        return f"{quoted(url)} must be {' or '.join(f'{scheme}://host[:port]' for scheme in schemes)}"
    if parts.path.strip("/" if slash else "") or parts.query or parts.fragment:
        return f"{quoted(url)} must end after host and port"
    return None


# the platform


def _platform(settings: Settings) -> Iterator[Finding]:
    platform = settings.platform
    for name in ("organisation", "node_id", "region", "provider"):
        if not re.fullmatch(r"[^|\x00-\x1f\x7f]{0,128}", getattr(platform, name)):
            yield Finding(("platform", name), "must not contain '|' or control characters, nor be longer than 128")
    for index, root in enumerate(platform.local_roots):
        if root not in settings.local_roots:
            yield Finding(("platform", "local_roots", index), _unknown_name(root, settings.local_roots, "local_roots"))
    if platform.external_url and (complaint := _no_url(platform.external_url)):
        yield Finding(("platform", "external_url"), complaint)
    for key, file in (("ca_file", platform.ca_file), ("platform_keys", platform.platform_keys)):
        if file:
            yield from _readable(("platform", key), file)
    if platform.url:
        yield from _platform_url(platform)


def _platform_url(platform: Platform) -> Iterator[Finding]:
    if complaint := _no_url(platform.url):
        yield Finding(("platform", "url"), complaint)
    elif platform.url.startswith("http://") and not _is_loopback(urlsplit(platform.url).hostname or ""):
        yield Finding(("platform", "url"), "must be https://host[:port]: plain HTTP is for loopback only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# backends


def _roots(settings: Settings) -> Iterator[Finding]:
    for name, root in settings.local_roots.items():
        path: KeyPath = ("local_roots", name)
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK) or not root.is_dir():
            yield Finding(path, f"{root} must be a directory that the node's user may write to")
        elif settings.state_directory.resolve().is_relative_to(root.resolve()):
            yield Finding(path, f"{root} must not contain state_directory ({settings.state_directory})")
    for (outer_name, outer), (name, root) in combinations(settings.local_roots.items(), 2):
        one, other = outer.resolve(), root.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            yield Finding(("local_roots", name), f"{root} and local_roots.{outer_name} ({outer}) lie in one another")


def _backend(settings: Settings, name: str, backend: BackendSettings) -> Iterator[Finding]:
    path: KeyPath = ("backends", name)
    if backend.kind == "local":
        yield from _local(settings, path, backend)
    if backend.kind == "s3":
        yield from _s3(path, backend)
    else:
        for key in ("endpoint", "access_key", "secret_key", "session_token", "ca_file", "proxy", "proxy_login"):
            if key in backend.model_fields_set:
                yield Finding((*path, key), f'has no meaning for a backend of kind "{backend.kind}"')


def _local(settings: Settings, path: KeyPath, backend: BackendSettings) -> Iterator[Finding]:
    if not backend.root:
        yield Finding((*path, "root"), "is missing: the name of one of local_roots")
    elif backend.root not in settings.local_roots:
        yield Finding((*path, "root"), _unknown_name(backend.root, settings.local_roots, "local_roots"))


def _s3(path: KeyPath, backend: BackendSettings) -> Iterator[Finding]:
    if backend.endpoint and (complaint := _no_url(backend.endpoint)):
        yield Finding((*path, "endpoint"), complaint)
    if backend.proxy and (complaint := _no_url(backend.proxy, schemes=("http",))):
        yield Finding((*path, "proxy"), complaint)
    if not backend.proxy and backend.proxy_login.get_secret_value():
        yield Finding((*path, "proxy_login"), "has no meaning without `proxy`")
    if not _REGION.fullmatch(backend.region):
        yield Finding((*path, "region"), f"{quoted(backend.region)} is no region: letters, digits and hyphens")
    if not backend.access_key:
        yield Finding((*path, "access_key"), "is missing")
    if not backend.secret_key.get_secret_value():
        yield Finding((*path, "secret_key"), "is missing")
    if backend.root:
        yield Finding((*path, "root"), 'has no meaning for a backend of kind "s3"')
    if backend.ca_file:
        yield from _readable((*path, "ca_file"), backend.ca_file)


def _shared_roots(settings: Settings) -> Iterator[Finding]:
    local = [(name, backend) for name, backend in settings.backends.items() if backend.kind == "local" and backend.root]
    for (first, one), (second, other) in combinations(local, 2):
        if one.root == other.root:
            yield Finding(("backends", second, "root"), f"{quoted(other.root)} is the root of backends.{first} already")


def _memory(settings: Settings) -> Iterator[Finding]:
    for name, backend in settings.backends.items():
        if backend.kind == "memory" and settings.gateway.workers != 1:
            yield Finding(
                ("backends", name, "kind"),
                '"memory" is not shared between processes: set gateway.workers = 1, or use "local"',
            )


def _unknown_name(name: str, known: Collection[str], table: str) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{quoted(name)} is not in {table}" + (f"; did you mean {quoted(close[0])}?" if close else "")


# repositories


def _attachments(settings: Settings, name: str, repository: RepositorySettings) -> Iterator[Finding]:
    path: KeyPath = ("repositories", name)
    for index, bucket in enumerate(repository.buckets):
        if bucket.backend not in settings.backends:
            message = _unknown_name(bucket.backend, settings.backends, "backends")
            yield Finding((*path, "buckets", index, "backend"), message)
    for index, account in enumerate(repository.accounts):
        if account not in settings.backends:
            yield Finding((*path, "accounts", index), _unknown_name(account, settings.backends, "backends"))
        elif account in repository.accounts[:index]:
            yield Finding((*path, "accounts", index), f"{quoted(account)} stands there twice")


def _names_on_the_wire(name: str, repository: RepositorySettings) -> Iterator[Finding]:
    """A bucket is found by its real name, then by its folder; each must lead to one place, and each place be found."""
    real = [bucket.bucket for bucket in repository.buckets]
    folders: list[str] = []
    for index, bucket in enumerate(repository.buckets):
        path: KeyPath = ("repositories", name, "buckets", index)
        first = real.index(bucket.bucket)
        if bucket.folder and bucket.folder != bucket.bucket and bucket.folder in {*real, *folders}:
            yield Finding((*path, "folder"), f"{quoted(bucket.folder)} already means another bucket of this repository")
        elif first < index and not bucket.folder:
            yield Finding(
                (*path, "bucket"), f"{quoted(bucket.bucket)} already means buckets[{first}]: give this one a `folder`"
            )
        folders.append(bucket.folder)


def _keys(settings: Settings, name: str, repository: RepositorySettings) -> Iterator[Finding]:
    path: KeyPath = ("repositories", name)
    served = {bucket.bucket for bucket in repository.buckets} | {bucket.folder for bucket in repository.buckets}
    for index, key in enumerate(repository.keys):
        if complaint := _weakness(key.access_key, key.secret_key.get_secret_value()):
            yield Finding((*path, "keys", index, "secret_key"), complaint)
        if re.search(r"[\s/,=]", key.access_key):
            yield Finding((*path, "keys", index, "access_key"), "must not contain spaces, '/', ',' or '='")
        for place, bucket in enumerate(key.buckets or ()):
            if bucket not in served and not repository.accounts:
                message = _unknown_name(bucket, served, "this repository's buckets")
                yield Finding((*path, "keys", index, "buckets", place), message)
    if repository.token_key and not _is_token_key(repository.token_key.get_secret_value()):
        yield Finding((*path, "token_key"), "must be 32 bytes in base64, as `openssl rand -base64 32` prints them")


def _weakness(access_key: str, secret: str) -> str | None:
    if not secret:
        return "is empty"
    if len(secret) < MIN_SECRET_LENGTH:
        return f"is too weak: at least {MIN_SECRET_LENGTH} characters (`bridge-node key generate` makes one)"
    if len(set(secret)) < MIN_SECRET_VARIETY or secret == access_key:
        return "is too easily guessed (`bridge-node key generate` makes one)"
    return None


def _is_token_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _repeated_keys(settings: Settings) -> Iterator[Finding]:
    """An access key alone decides which repository is meant."""
    places: dict[str, KeyPath] = {}
    for name, repository in settings.repositories.items():
        for index, key in enumerate(repository.keys):
            path: KeyPath = ("repositories", name, "keys", index)
            if key.access_key in places:
                taken = dotted(places[key.access_key])
                yield Finding((*path, "access_key"), f"{quoted(key.access_key)} is the access key of {taken} already")
            places.setdefault(key.access_key, path)
