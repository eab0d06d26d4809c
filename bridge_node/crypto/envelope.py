"""The vendor's envelope for what a node needs at start: `/secrets`, flashback-platform-api.md §5.4.

A fresh AES-256 key goes under the organisation's RSA key (OAEP, SHA-256 for both hashes); AES-256-CTR hides the text,
and HMAC-SHA256 with that same key over iv and ciphertext protects it. All parts are standard base64.
"""

import base64
import binascii
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 32
IV_BYTES = 16
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class EnvelopeBroken(Exception):
    """Not an envelope for this key, or not as it was made."""


def seal(text: bytes, recipient: rsa.RSAPublicKey, key: bytes, iv: bytes) -> str:
    """The envelope as a JSON text. `key` (32 bytes) and `iv` (16 bytes) are random and never used again."""
    ciphertext = _counter_mode(text, key, iv)
    parts = {
        "key": recipient.encrypt(key, _OAEP),
        "iv": iv,
        "ct": ciphertext,
        "mac": hmac.digest(key, iv + ciphertext, "sha256"),
    }
    return json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}, separators=(",", ":"))


def unseal(envelope: str, recipient: rsa.RSAPrivateKey) -> bytes:
    """The text; raises EnvelopeBroken."""
    try:
        parts: dict[str, Any] = json.loads(envelope)
        wrapped, iv, ciphertext, mac = (base64.b64decode(parts[name], validate=True) for name in _PARTS)
        key = recipient.decrypt(wrapped, _OAEP)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise EnvelopeBroken("not an envelope for this key") from error
    if not hmac.compare_digest(mac, hmac.digest(key, iv + ciphertext, "sha256")):
        raise EnvelopeBroken("changed after it was made")
    return _counter_mode(ciphertext, key, iv)


_PARTS = ("key", "iv", "ct", "mac")


def _counter_mode(data: bytes, key: bytes, iv: bytes) -> bytes:
    """Both ways."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()
