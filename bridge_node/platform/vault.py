"""Secrets at rest: each sealed under a data key of its own, which the master key wraps.

Both layers are AES-256-GCM and bound to the row that the secret belongs to, so that a sealed value moved to another
row opens nowhere. The name of the master key stands in front: after a rotation, old values open under a predecessor
until they are wrapped anew.

    1 | name of the master key (8) | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext and tag
"""

import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_VERSION = b"\x01"
_NAME = 8
_NONCE = 12
_WRAPPED = KEY_BYTES + 16
_WRAP_END = 1 + _NAME + _NONCE + _WRAPPED


class VaultError(Exception):
    """A value that no key of this vault opens for this row: a wrong master key, or a row that was tampered with."""


class Vault:
    """Seals under `master` and opens under it or one of its predecessors. Keys are 32 bytes."""

    def __init__(self, master: bytes, previous: Sequence[bytes] = ()) -> None:
        if any(len(key) != KEY_BYTES for key in (master, *previous)):
            raise VaultError(f"a master key has {KEY_BYTES} bytes")
        self._name = _name(master)
        self._keys = {_name(key): AESGCM(key) for key in (master, *previous)}

    def seal(self, secret: str, table: str, row: str) -> bytes:
        """What to store of `secret` in the row `row` of `table`."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        nonce = secrets.token_bytes(_NONCE)
        place = _place(table, row)
        return self._wrapped(data_key, place) + nonce + AESGCM(data_key).encrypt(nonce, secret.encode(), place)

    def open(self, sealed: bytes, table: str, row: str) -> str:
        """The secret of that very row; raises VaultError."""
        place = _place(table, row)
        nonce, ciphertext = sealed[_WRAP_END : _WRAP_END + _NONCE], sealed[_WRAP_END + _NONCE :]
        try:
            return AESGCM(self._unwrapped(sealed, place)).decrypt(nonce, ciphertext, place).decode()
        except (InvalidTag, ValueError) as error:
            raise VaultError(f"a secret of {table} does not open") from error

    @property
    def mark(self) -> bytes:
        """What every value begins with that the present master key wraps."""
        return _VERSION + self._name

    @property
    def knows_predecessors(self) -> bool:
        return len(self._keys) > 1

    def is_current(self, sealed: bytes) -> bool:
        """Whether a value is wrapped by the present master key."""
        return sealed.startswith(self.mark)

    def rewrap(self, sealed: bytes, table: str, row: str) -> bytes:
        """The same sealed secret under the present master key; raises VaultError."""
        place = _place(table, row)
        return self._wrapped(self._unwrapped(sealed, place), place) + sealed[_WRAP_END:]

    def _wrapped(self, data_key: bytes, place: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return self.mark + nonce + self._keys[self._name].encrypt(nonce, data_key, place)

    def _unwrapped(self, sealed: bytes, place: bytes) -> bytes:
        master = self._keys.get(sealed[1 : 1 + _NAME])
        if sealed[:1] != _VERSION or master is None:
            raise VaultError("sealed under a master key that is not known here")
        start = 1 + _NAME
        try:
            return master.decrypt(sealed[start : start + _NONCE], sealed[start + _NONCE : _WRAP_END], place)
        except (InvalidTag, ValueError) as error:
            raise VaultError("a data key does not open") from error


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"bridge-node master key" + key).digest()[:_NAME]


def _place(table: str, row: str) -> bytes:
    return f"{table}\0{row}".encode()
