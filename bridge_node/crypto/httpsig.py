"""HTTP message signatures between node and platform (RFC 9421, node-protocol.md §2).

Covered are `@method @authority @path @query content-digest`, with `created`, `nonce`, `keyid` and the tag
`bridge-node`. Whether a nonce was seen before is for the caller to ask: only it has a memory.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
)
from http_message_signatures.algorithms import ED25519, RSA_V1_5_SHA256, HTTPSignatureAlgorithm
from http_message_signatures.exceptions import HTTPMessageSignaturesException

TAG = "bridge-node"
COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
FRESH_SECONDS = 300
NONCE_BYTES = 16
_NONCE_LENGTH = range(16, 129)
_KEYID = re.compile(r';keyid="([A-Za-z0-9_-]{1,128})"')

PrivateKey = Ed25519PrivateKey | RSAPrivateKey
PublicKey = Ed25519PublicKey | RSAPublicKey


class SignatureRefused(Exception):
    """A message whose signature does not hold. The text is for logs; the sender learns only that it was refused."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good signature says: who signed, when, and the nonce that must not be used again before `forget_at`."""

    keyid: str
    nonce: str
    created: int

    @property
    def forget_at(self) -> int:
        """Epoch seconds after which the signature is too old anyway."""
        return self.created + 2 * FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class Call:
    """What is signed of a request. `url` is absolute: the one that the request was sent to."""

    method: str
    url: str
    body: bytes


@dataclass(slots=True)
class _Message:
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


def sign(key: PrivateKey, keyid: str, call: Call, now: float, nonce: str | None = None) -> dict[str, str]:
    """Headers to send with the request: Content-Digest, Signature-Input and Signature."""
    message = _Message(call.method, call.url)
    signer = HTTPMessageSigner(signature_algorithm=_AlgorithmOfTheKey, key_resolver=_Keys(_no_key, key))
    signer.sign(
        message,
        key_id=keyid,
        created=datetime.fromtimestamp(now, UTC),
        nonce=nonce or secrets.token_urlsafe(NONCE_BYTES),
        tag=TAG,
        label=TAG,
        include_alg=False,
        covered_component_ids=COVERED,
        body=call.body,
    )
    return message.headers


def verify(find_key: Callable[[str], PublicKey | None], call: Call, headers: Mapping[str, str], now: float) -> Verified:
    """Checks everything but the nonce's novelty; raises SignatureRefused.

    `find_key` gives the public key for a `keyid`.
    """
    resolver = _Keys(find_key)
    verifier = _Verifier(signature_algorithm=_AlgorithmOfTheKey, key_resolver=resolver)
    verifier.now = now
    try:
        (result,) = verifier.verify(
            _Message(call.method, call.url, dict(headers)),
            max_age=timedelta(0),
            expect_tag=TAG,
            require_components=COVERED,
            body=call.body,
        )
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise SignatureRefused(str(error)) from error
    if result.nonce is None or len(result.nonce) not in _NONCE_LENGTH:
        raise SignatureRefused("no usable nonce")
    return Verified(str(result.parameters["keyid"]), result.nonce, int(result.parameters["created"]))


def claimed_keyid(headers: Mapping[str, str]) -> str | None:
    """The key that a request says it is signed with: where to look for a key before anything is verified."""
    given = next((value for name, value in headers.items() if name.lower() == "signature-input"), "")
    found = _KEYID.search(given)
    return found[1] if found else None


def signed(headers: Mapping[str, str]) -> bool:
    """Whether a request claims to be signed by this scheme; says nothing about whether it is."""
    return any(name.lower() == "signature-input" for name in headers)


def _no_key(_keyid: str) -> None:
    return None


class _Verifier(HTTPMessageVerifier):
    """The library's verifier with the time as an argument."""

    now: float

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created) is not int or abs(created - self.now) > FRESH_SECONDS:
            raise InvalidSignature("created is missing or too far from now")
        if expires is not None and (type(expires) is not int or expires < self.now):
            raise InvalidSignature("expired")


class _Keys(HTTPSignatureKeyResolver):
    """Hands the library the keys that this module's callers name."""

    def __init__(self, find: Callable[[str], PublicKey | None], private: PrivateKey | None = None) -> None:
        self._find = find
        self._private = private

    def resolve_public_key(self, key_id: str) -> PublicKey | None:
        return self._find(key_id)

    def resolve_private_key(self, key_id: str) -> PrivateKey | None:
        return self._private


class _AlgorithmOfTheKey(HTTPSignatureAlgorithm):
    """The algorithm follows from the key alone, never from what a message says (RFC 9421 §3.2)."""

    algorithm_id = "by-key"

    def __init__(self, public_key: PublicKey | None = None, private_key: PrivateKey | None = None) -> None:
        rsa_key = isinstance(public_key or private_key, RSAPublicKey | RSAPrivateKey)
        self._algorithm = (RSA_V1_5_SHA256 if rsa_key else ED25519)(public_key=public_key, private_key=private_key)

    def sign(self, message: bytes) -> bytes:
        return bytes(self._algorithm.sign(message))

    def verify(self, signature: bytes, message: bytes) -> None:
        self._algorithm.verify(signature=signature, message=message)
