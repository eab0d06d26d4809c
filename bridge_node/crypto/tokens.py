"""Text that the node hands out and takes back: continuation tokens and upload ids, readable by nobody else.

A token is sealed with a repository's token key, so that it works on every worker and node and after a restart, and
bound to what it was made for, so that it works nowhere else. Sealing is deterministic: an upload has one id, whoever
lists it. Each token has its own AES-256-GCM key, derived with HMAC-SHA256 from the repository's key and a salt that
is itself a keyed hash of the content (the idea of RFC 5297's synthetic IV), so no key ever meets two texts.

    base64url( salt (16 bytes) | AES-256-GCM ciphertext | tag (16 bytes) )
"""

import base64
import hmac
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SALT = 16
_TAG = 16
_NONCE = bytes(12)  # every key seals one text, so one nonce is enough
_LONGEST = 8192


class InvalidToken(Exception):
    """Not made by this seal, or not for this purpose. Why is nobody's business."""


class TokenSeal:
    """Seals under `key` and opens under `key` or its predecessor."""

    def __init__(self, key: bytes, previous: bytes = b"") -> None:
        self._keys = (key, previous) if previous else (key,)

    def seal(self, purpose: Sequence[str], content: bytes) -> str:
        """URL-safe text for `content`, to be opened with the same `purpose` only."""
        bound = _framed(purpose)
        key = self._keys[0]
        salt = hmac.digest(key, b"salt" + bound + content, "sha256")[:_SALT]
        sealed = AESGCM(_derived(key, salt)).encrypt(_NONCE, content, bound)
        return base64.urlsafe_b64encode(salt + sealed).rstrip(b"=").decode()

    def open(self, purpose: Sequence[str], token: str) -> bytes:
        """The content of a token; raises InvalidToken for anything but a token sealed for `purpose`."""
        data = _decoded(token)
        bound = _framed(purpose)
        for key in self._keys:
            try:
                return AESGCM(_derived(key, data[:_SALT])).decrypt(_NONCE, data[_SALT:], bound)
            except InvalidTag:
                continue
        raise InvalidToken


def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, b"seal" + salt, "sha256")


def _framed(purpose: Sequence[str]) -> bytes:
    """The parts with their lengths, so that no two purposes run together."""
    encoded = [part.encode() for part in purpose]
    return b"".join([len(part).to_bytes(4, "big") + part for part in encoded])


def _decoded(token: str) -> bytes:
    if len(token) > _LONGEST:
        raise InvalidToken
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidToken from error
    if len(data) < _SALT + _TAG:
        raise InvalidToken
    return data
