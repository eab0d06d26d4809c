"""What the platform tells a node, signed (JWS) and each secret part sealed to that node alone (JWE).

Answers are compact JWS with `Ed25519` (RFC 9864); documents are compact JWE with `ECDH-ES+A256KW` and `A256GCM` to the
node's X25519 key, with organisation, node and document id in the protected header (node-protocol.md §3).
"""

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OKPKey
from joserfc.registry import HeaderParameter

OPENED_LIMIT = 4 * 1024 * 1024
"""Most bytes of one opened document."""
SIGNED_LIMIT = 32 * 1024 * 1024
"""Most bytes of one signed answer."""
_SIGNATURE = "Ed25519"
_KEY_WRAP = "ECDH-ES+A256KW"
_CONTENT = "A256GCM"
_BASE64_GROWTH = 4 / 3


class SealBroken(Exception):
    """A signature or seal that does not hold, or that was made for somebody else."""


class BadJwk(ValueError):
    """A JWK that is not the public key it should be."""


@dataclass(frozen=True, slots=True)
class Address:
    """For whom a document is sealed; part of what the seal protects."""

    organisation: str
    node: str
    document: str


class _AnswerRegistry(jws.JWSRegistry):
    max_payload_length = int(SIGNED_LIMIT * _BASE64_GROWTH)


class _DocumentRegistry(jwe.JWERegistry):
    max_ciphertext_length = int(OPENED_LIMIT * _BASE64_GROWTH)


_ADDRESS_HEADERS = {
    "org": HeaderParameter("Organisation", "str"),
    "node": HeaderParameter("Node", "str"),
    "doc": HeaderParameter("Document", "str"),
}
_ANSWERS = _AnswerRegistry(algorithms=[_SIGNATURE])
_DOCUMENTS = _DocumentRegistry(header_registry=_ADDRESS_HEADERS, algorithms=[_KEY_WRAP, _CONTENT])


def new_signing_key() -> OKPKey:
    """An Ed25519 key pair."""
    return OKPKey.generate_key("Ed25519")


def new_sealing_key() -> OKPKey:
    """An X25519 key pair."""
    return OKPKey.generate_key("X25519")


def verification_key(jwk: dict[str, Any]) -> Ed25519PublicKey:
    """Reads a public Ed25519 JWK; raises BadJwk, for a private one too."""
    key = _public(jwk, "Ed25519").public_key
    if not isinstance(key, Ed25519PublicKey):
        raise BadJwk("not an Ed25519 public key")
    return key


def sealing_key(jwk: dict[str, Any]) -> OKPKey:
    """Reads a public X25519 JWK; raises BadJwk, for a private one too."""
    return _public(jwk, "X25519")


def thumbprint(jwk: dict[str, Any]) -> str:
    """The name of a public key (RFC 7638)."""
    return OKPKey.import_key(jwk).thumbprint()


def _public(jwk: dict[str, Any], curve: str) -> OKPKey:
    try:
        key = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
    except (JoseError, KeyError, ValueError, TypeError) as error:
        raise BadJwk(f"not a readable {curve} public key") from error
    if jwk["crv"] != curve or "d" in jwk:
        raise BadJwk(f"not an {curve} public key")
    return key


def sign(payload: bytes, key: OKPKey) -> str:
    """A compact JWS; `kid` is the key's thumbprint."""
    return jws.serialize_compact({"alg": _SIGNATURE, "kid": key.thumbprint()}, payload, key, registry=_ANSWERS)


def opened(token: str, keys: dict[str, OKPKey]) -> bytes:
    """The payload of a JWS made by one of `keys` (by thumbprint); raises SealBroken."""

    def find(answer: GuestProtocol) -> OKPKey:
        key = keys.get(str(answer.headers().get("kid")))
        if key is None:
            raise SealBroken("signed by a key that is not known here")
        return key

    try:
        return jws.deserialize_compact(token, find, registry=_ANSWERS).payload
    except (JoseError, ValueError, TypeError) as error:
        raise SealBroken(str(error)) from error


def seal(document: bytes, address: Address, key: OKPKey) -> str:
    """A compact JWE that only the holder of the private part of `key` opens."""
    header = {
        "alg": _KEY_WRAP,
        "enc": _CONTENT,
        "org": address.organisation,
        "node": address.node,
        "doc": address.document,
    }
    return jwe.encrypt_compact(header, document, key, registry=_DOCUMENTS)


def unseal(token: str, address: Address, key: OKPKey) -> bytes:
    """The document, if it was sealed for this very address; raises SealBroken."""
    try:
        sealed = jwe.decrypt_compact(token, key, registry=_DOCUMENTS)
        header = sealed.headers()
    except (JoseError, ValueError, TypeError) as error:
        raise SealBroken(str(error)) from error
    if (header.get("org"), header.get("node"), header.get("doc")) != (
        address.organisation,
        address.node,
        address.document,
    ):
        raise SealBroken("sealed for another address")
    return sealed.plaintext or b""
