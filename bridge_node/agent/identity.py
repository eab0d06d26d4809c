"""Who this node is: its name, its own keys, and the platform's keys that it has come to trust (node-protocol.md §1).

The keys lie in the state directory, readable by the node alone. What the platform showed at enrolment is pinned beside
them: another platform, or one with other keys, is not believed until an operator enrols the node anew.
"""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, RSAKey

from bridge_node.configuration.lookup import exposure
from bridge_node.crypto import httpsig, orgkey, sealing
from bridge_node.messages import NodeKeys
from bridge_node.settings import Platform
from bridge_node.version import running_version

FOLDER = "platform"
"""Below the state directory: everything that has to do with the platform."""
KEYS_FILE = "keys.json"
ENROLMENT_FILE = "enrolment.json"
MOST_PLATFORM_KEYS = 16


class IdentityError(Exception):
    """The node cannot say who it is; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The node's two key pairs: Ed25519 to sign with, X25519 to be sealed to."""

    sign: OKPKey
    seal: OKPKey

    @property
    def signing(self) -> tuple[Ed25519PrivateKey, str]:
        """What `httpsig.sign` takes: the key and its id."""
        key = self.sign.private_key
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError("the node's signing key is no Ed25519 key")
        return key, self.sign.thumbprint()

    @property
    def public(self) -> NodeKeys:
        return NodeKeys(sign=_text(self.sign.as_dict(private=False)), seal=_text(self.seal.as_dict(private=False)))


@dataclass(frozen=True, slots=True)
class Enrolment:
    """That a platform knows this node by its own keys, as `node` of `organisation`. `keys` are by thumbprint."""

    platform: str
    organisation: str
    node: str
    keys: Mapping[str, OKPKey]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the node says about itself."""

    node: str
    organisation: str
    region: str
    provider: str
    url: str
    version: str
    keys: OwnKeys
    organisation_key: RSAPrivateKey | None = None

    def said(self) -> dict[str, Any]:
        """The contract's common fields, unsigned."""
        return {"ip": self.node, "region": self.region} | ({"id_org": self.organisation} if self.organisation else {})

    @property
    def enrolling(self) -> tuple[httpsig.PrivateKey, str] | None:
        """The organisation's key and its id, where the node has it."""
        if self.organisation_key is None:
            return None
        return self.organisation_key, organisation_key_id(self.organisation_key)


def organisation_key_id(key: RSAPrivateKey) -> str:
    """The JWK thumbprint of its public half."""
    return RSAKey.import_key(orgkey.public_pem(key.public_key())).thumbprint()


class IdentityStore:
    """Keys and enrolment on disk. Its methods block: they read and write small files."""

    def __init__(self, state_directory: Path) -> None:
        self.directory = state_directory / FOLDER

    def load(self, platform: Platform) -> tuple[Identity, Enrolment | None]:
        """Makes the keys at the first start. Raises IdentityError."""
        enrolment = self.enrolment(platform)
        node = platform.node_id or (enrolment.node if enrolment else _own_address(platform.url))
        identity = Identity(
            node=node,
            organisation=platform.organisation,
            region=platform.region,
            provider=platform.provider.upper(),
            url=platform.external_url,
            version=running_version(),
            keys=self.own_keys(),
            organisation_key=_organisation_key(platform),
        )
        if enrolment and (enrolment.platform, enrolment.organisation, enrolment.node) != _place(platform, node):
            enrolment = None  # it was made for another place or name
        return identity, enrolment

    def own_keys(self) -> OwnKeys:
        path = self.directory / KEYS_FILE
        if not path.exists():
            made = {"sign": sealing.new_signing_key(), "seal": sealing.new_sealing_key()}
            write_private(path, json.dumps({name: key.as_dict(private=True) for name, key in made.items()}).encode())
        document = _read_json(path, secret=True)
        try:
            return OwnKeys(_okp(document["sign"], "Ed25519"), _okp(document["seal"], "X25519"))
        except (KeyError, TypeError, ValueError) as error:
            raise IdentityError(f"{path} is damaged: removing it makes the node enrol anew") from error

    def enrolment(self, platform: Platform) -> Enrolment | None:
        """What was pinned when the node enrolled; None before, or when it was made for another platform."""
        path = self.directory / ENROLMENT_FILE
        if not path.exists():
            return None
        document = _read_json(path)
        try:
            found = Enrolment(
                document["platform"], document["organisation"], document["node"], platform_keys(document["keys"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IdentityError(f"{path} is damaged: removing it makes the node enrol anew") from error
        return found if (found.platform, found.organisation) == (platform.url, platform.organisation) else None

    def enrolled(self, enrolment: Enrolment) -> None:
        """Pins what the platform showed."""
        document = {
            "platform": enrolment.platform,
            "organisation": enrolment.organisation,
            "node": enrolment.node,
            "keys": {"keys": [key.as_dict(private=False) for key in enrolment.keys.values()]},
        }
        write_private(self.directory / ENROLMENT_FILE, json.dumps(document).encode())


def platform_keys(document: Any) -> dict[str, OKPKey]:
    """The keys of a JWK set by thumbprint. Raises ValueError for anything but Ed25519 public keys."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= MOST_PLATFORM_KEYS:
        raise ValueError("no set of keys")
    found = [_okp(key, "Ed25519") for key in keys]
    return {key.thumbprint(): key for key in found}


def pinned_by_operator(path: Path) -> dict[str, OKPKey]:
    """The keys in a file that the operator named. Raises IdentityError."""
    try:
        return platform_keys(_read_json(path))
    except ValueError as error:
        raise IdentityError(f"{path} is no JWK set of Ed25519 keys") from error


def write_private(path: Path, data: bytes) -> None:
    """Replaces a file by one that the node alone can read; it appears whole and stays after a power cut."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _okp(value: Any, curve: str) -> OKPKey:
    if not isinstance(value, dict) or value.get("crv") != curve:
        raise ValueError(f"no {curve} key")
    try:
        return OKPKey.import_key(value)
    except (JoseError, TypeError) as error:
        raise ValueError(f"no {curve} key") from error


def _organisation_key(platform: Platform) -> RSAPrivateKey | None:
    if platform.organisation_key is None or not platform.organisation_key.get_secret_value():
        return None
    try:
        return orgkey.load_private(platform.organisation_key.get_secret_value())
    except orgkey.BadOrganisationKey as error:
        raise IdentityError(f"platform.organisation_key: {error}") from error


def _place(platform: Platform, node: str) -> tuple[str, str, str]:
    return platform.url, platform.organisation, node


def _own_address(url: str) -> str:
    """The address that this host would reach the platform from. Sends nothing."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)
    except OSError:  # no name service yet: any address out there shows which one is ours
        found = [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("192.0.2.1", port))]
    family, kind, _, _, address = found[0]
    try:
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise IdentityError(f"platform.node_id: the node's own address is not known ({error}); set a name") from error


def _read_json(path: Path, *, secret: bool = False) -> Any:
    try:
        if secret and (complaint := exposure(path)):
            raise IdentityError(f"{path} {complaint}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError(f"{path} cannot be read: {error}") from error


def _text(key: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in key.items() if isinstance(value, str)}
