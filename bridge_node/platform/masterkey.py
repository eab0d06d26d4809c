"""The master key: 32 random bytes in base64, given by a setting or kept in a file of the state directory."""

import base64
import binascii
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.vault import KEY_BYTES

FILE = "master.key"


class NoMasterKey(Exception):
    """No usable master key; the text says where it was looked for."""


def make(directory: Path) -> Path:
    """Writes a new key that only its owner may read. Raises FileExistsError: a key is never replaced here.

    It is written aside and linked into place: whoever else looks for a key finds a whole one.
    """
    path = directory / FILE
    aside = directory / f".{FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    finally:
        aside.unlink()
    return path


def load(settings: PlatformSettings) -> tuple[bytes, list[bytes]]:
    """The master key and its predecessors; raises NoMasterKey."""
    if settings.master_key is not None:
        master = _decoded(settings.master_key, "master_key")
    else:
        master = _read(settings.state_directory / FILE)
    return master, [_decoded(key, "previous_master_keys") for key in settings.previous_master_keys]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise NoMasterKey(f"{path} can be read by others: chmod 600 it")
        text = path.read_text()
    except OSError as error:
        raise NoMasterKey(f"{path}: {error.strerror}; `bridge-node platform bootstrap` makes a key") from error
    return _decoded(SecretStr(text), str(path))


def _decoded(text: SecretStr, where: str) -> bytes:
    try:
        key = base64.b64decode(text.get_secret_value().strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoMasterKey(f"{where} is not base64") from error
    if len(key) != KEY_BYTES:
        raise NoMasterKey(f"{where} does not hold {KEY_BYTES} bytes")
    return key
