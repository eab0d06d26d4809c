"""The organisation's RSA key and the signed text of the vendor's contract: `ip|region|timestamp`.

RSASSA-PKCS1-v1_5 with SHA-256 in standard base64 (flashback-platform-api.md §5). The text binds neither route nor
body; that is why our own nodes use it once, to enrol (node-protocol.md §1).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

FRESH_SECONDS = 300.0
"""How far a signed timestamp may lie from the verifier's clock."""
KEYS_TRIED = 12
"""Most public keys that one call is checked against (node-protocol.md §2)."""
_SEPARATOR = "|"
_MILLISECONDS_FROM = 1e12


class BadOrganisationKey(ValueError):
    """A PEM text that is no RSA key of at least 2048 bits."""


class UnsignableText(ValueError):
    """A field that would make the signed text mean something else: it holds `|` or a control character."""


def generate() -> tuple[str, str]:
    """A new RSA-2048 key pair: the private key as PKCS#1 PEM, the public key as SubjectPublicKeyInfo PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return private.decode(), public_pem(key.public_key())


def public_pem(key: rsa.RSAPublicKey) -> str:
    """SubjectPublicKeyInfo PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def load_private(pem: str) -> rsa.RSAPrivateKey:
    """Reads PKCS#1 or PKCS#8 PEM without a passphrase; raises BadOrganisationKey."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadOrganisationKey("not a readable private key in PEM form") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise BadOrganisationKey("not an RSA key of at least 2048 bits")
    return key


def load_public(pem: str) -> rsa.RSAPublicKey:
    """Reads a SubjectPublicKeyInfo PEM; raises BadOrganisationKey."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadOrganisationKey("not a readable public key in PEM form") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise BadOrganisationKey("not an RSA key of at least 2048 bits")
    return key


def thumbprint(key: rsa.RSAPublicKey) -> str:
    """The key's name in HTTP message signatures: SHA-256 of its JWK (RFC 7638)."""
    numbers = key.public_numbers()
    jwk = f'{{"e":"{_base64url(numbers.e)}","kty":"RSA","n":"{_base64url(numbers.n)}"}}'
    return base64.urlsafe_b64encode(hashlib.sha256(jwk.encode()).digest()).rstrip(b"=").decode()


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(key: rsa.RSAPrivateKey, ip: str, region: str, timestamp: str) -> str:
    """Base64 signature over the three-part text; raises UnsignableText."""
    text = signed_text(ip, region, timestamp)
    return base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def signed_text(*fields: str) -> bytes:
    """The fields joined with `|`; raises UnsignableText where a field would blur the borders."""
    for field in fields:
        if _SEPARATOR in field or not field.isprintable():
            raise UnsignableText("signed fields hold no '|' and no control characters")
    return _SEPARATOR.join(fields).encode()


def candidates(
    ip: str, region: str | None, timestamp: str, organisation: str | None, stored_region: str
) -> list[bytes]:
    """Every text that callers of the contract are known to sign, the usual one first.

    Without `region` (unregister as documented) it may have been the stored one, empty or left out.
    """
    if region is None:
        return [
            signed_text(ip, stored_region, timestamp),
            signed_text(ip, "", timestamp),
            signed_text(ip, timestamp),
        ]
    texts = [signed_text(ip, region, timestamp)]
    if organisation is not None:
        texts.append(signed_text(ip, region, timestamp, organisation))
    return texts


def verify(keys: Mapping[str, rsa.RSAPublicKey], texts: Iterable[bytes], signature: str) -> str | None:
    """Name of the key that made `signature` over one of `texts`, or None. At most `KEYS_TRIED` keys are tried."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    wanted = list(texts)
    for name, key in list(keys.items())[:KEYS_TRIED]:
        if any(_signed(key, text, raw) for text in wanted):
            return name
    return None


def _signed(key: rsa.RSAPublicKey, text: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def instant(timestamp: str) -> float | None:
    """Epoch seconds of a timestamp as sent: seconds, milliseconds (from 1e12) or ISO 8601; None when it is none."""
    try:
        number = float(timestamp)
    except ValueError:
        return _iso_instant(timestamp)
    if not 0 <= number < 1e15:  # also refuses nan and inf
        return None
    return number / 1000 if number >= _MILLISECONDS_FROM else number


def _iso_instant(timestamp: str) -> float | None:
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def fresh(timestamp: str, now: float) -> bool:
    """Whether a signed timestamp may still be used."""
    moment = instant(timestamp)
    return moment is not None and abs(moment - now) <= FRESH_SECONDS
