"""HTTP message signatures between node and platform (RFC 9421, RFC 9530, node-protocol.md §2).

Covered are `@method @authority @path @query content-digest`, with `created`, `nonce`, `keyid` and the tag
`bridge-node`. Whether a nonce was seen before is for the caller to ask: only it has a memory.

Of structured fields (RFC 8941) this reads what such signatures are made of, and refuses the rest.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

TAG = "bridge-node"
COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
FRESH_SECONDS = 300
NONCE_BYTES = 16
_NONCE_LENGTH = range(16, 129)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^",]+|,')
_NAME = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_MEMBER = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_INPUT = re.compile(rf"\(((?:{_STRING}(?: {_STRING})*)?)\)((?:;{_NAME}=(?:{_STRING}|-?\d{{1,15}}))*)")
_PARAMETER = re.compile(rf";({_NAME})=(?:({_STRING})|(-?\d+))")
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")

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


def sign(key: PrivateKey, keyid: str, call: Call, now: float, nonce: str | None = None) -> dict[str, str]:
    """Headers to send with the request: Content-Digest, Signature-Input and Signature."""
    digest = content_digest(call.body)
    covered = " ".join(f'"{name}"' for name in COVERED)
    nonce = nonce or secrets.token_urlsafe(NONCE_BYTES)
    parameters = f'({covered});created={int(now)};keyid="{keyid}";nonce="{nonce}";tag="{TAG}"'
    base = signature_base(_values(call, digest, COVERED), parameters)
    signature = base64.b64encode(_signed(key, base)).decode()
    return {
        "Content-Digest": digest,
        "Signature-Input": f"{TAG}={parameters}",
        "Signature": f"{TAG}=:{signature}:",
    }


def verify(find_key: Callable[[str], PublicKey | None], call: Call, headers: Mapping[str, str], now: float) -> Verified:
    """Checks everything but the nonce's novelty; raises SignatureRefused.

    `find_key` gives the public key for a `keyid`.
    """
    given = _input(headers)
    if sorted(given.covered) != sorted(COVERED):
        raise SignatureRefused("other components are covered than have to be")
    if given.created is None or abs(given.created - now) > FRESH_SECONDS:
        raise SignatureRefused("created is missing or too far from now")
    if given.expires is not None and given.expires < now:
        raise SignatureRefused("expired")
    if given.keyid is None or (key := find_key(given.keyid)) is None:
        raise SignatureRefused("the key is not known")
    if given.algorithm not in {None, _algorithm(key)}:
        raise SignatureRefused("another algorithm than the key's")
    digest = _field(headers, "content-digest")
    base = signature_base(_values(call, digest, given.covered), given.text)
    _check_signature(key, _bytes_of(_member(headers, "signature", given.label)), base)
    _check_digest(digest, call.body)
    if given.nonce is None or len(given.nonce) not in _NONCE_LENGTH:
        raise SignatureRefused("no usable nonce")
    return Verified(given.keyid, given.nonce, given.created)


def claimed_keyid(headers: Mapping[str, str]) -> str | None:
    """The key that a request says it is signed with: where to look for a key before anything is verified."""
    try:
        return _input(headers).keyid
    except SignatureRefused:
        return None


def signed(headers: Mapping[str, str]) -> bool:
    """Whether a request claims to be signed by this scheme; says nothing about whether it is."""
    return bool(_field(headers, "signature-input"))


def signature_base(covered: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """What is signed (RFC 9421 §2.5): a line for each component, then the parameters as they are sent.

    Raises SignatureRefused for a value that would blur the lines.
    """
    for _, value in covered:
        if not (value.isascii() and value.isprintable()):
            raise SignatureRefused("a covered value is not printable")
    lines = [*(f'"{name}": {value}' for name, value in covered), f'"@signature-params": {parameters}']
    return "\n".join(lines).encode()


def content_digest(body: bytes) -> str:
    """The Content-Digest field of a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _values(call: Call, digest: str, covered: Sequence[str]) -> list[tuple[str, str]]:
    try:
        parts = urlsplit(call.url)
        port = parts.port
    except ValueError as error:
        raise SignatureRefused("no usable URL") from error
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    usual = port in {None, _DEFAULT_PORTS.get(parts.scheme)}
    values = {
        "@method": call.method,
        "@authority": host if usual else f"{host}:{port}",
        "@path": parts.path or "/",
        "@query": f"?{parts.query}",
        "content-digest": digest,
    }
    return [(name, values[name]) for name in covered]


# --- keys ----------------------------------------------------------------------------------------------------------


def _algorithm(key: PublicKey) -> str:
    """It follows from the key alone, never from what a message says (RFC 9421 §3.2)."""
    return "ed25519" if isinstance(key, Ed25519PublicKey) else "rsa-v1_5-sha256"


def _signed(key: PrivateKey, base: bytes) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(base)
    return key.sign(base, padding.PKCS1v15(), hashes.SHA256())


def _check_signature(key: PublicKey, signature: bytes, base: bytes) -> None:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, base)
        else:
            key.verify(signature, base, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise SignatureRefused("the signature does not hold") from error


def _check_digest(field: str, body: bytes) -> None:
    """Every digest of a kind that we know has to be the body's, and there has to be one."""
    known = [(name, value) for name, value in _members(field) if name in _DIGESTS]
    if not known:
        raise SignatureRefused("no digest of a known kind")
    for name, value in known:
        if not hmac.compare_digest(_bytes_of(value), _DIGESTS[name](body).digest()):
            raise SignatureRefused("the digest is of another body")


# --- fields --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Input:
    """One member of Signature-Input; `text` is all of it, as it was sent."""

    label: str
    text: str
    covered: tuple[str, ...]
    strings: Mapping[str, str]
    numbers: Mapping[str, int]

    @property
    def keyid(self) -> str | None:
        return self.strings.get("keyid")

    @property
    def nonce(self) -> str | None:
        return self.strings.get("nonce")

    @property
    def algorithm(self) -> str | None:
        return self.strings.get("alg")

    @property
    def created(self) -> int | None:
        return self.numbers.get("created")

    @property
    def expires(self) -> int | None:
        return self.numbers.get("expires")


def _input(headers: Mapping[str, str]) -> _Input:
    """The one member with our tag: others may have signed, too. Raises SignatureRefused."""
    mine = [
        read
        for label, text in _members(_field(headers, "signature-input"))
        if (read := _read(label, text)) and read.strings.get("tag") == TAG
    ]
    if len(mine) != 1:
        raise SignatureRefused("not exactly one signature of a bridge node")
    return mine[0]


def _read(label: str, text: str) -> _Input | None:
    """None for what no bridge node writes."""
    found = _INPUT.fullmatch(text)
    if found is None:
        return None
    parameters = list(_PARAMETER.finditer(found[2]))
    names = [parameter[1] for parameter in parameters]
    if len(set(names)) != len(names):
        return None
    return _Input(
        label,
        text,
        tuple(name.strip('"') for name in found[1].split(" ")),
        {one[1]: one[2][1:-1] for one in parameters if one[2] is not None},
        {one[1]: int(one[3]) for one in parameters if one[3] is not None},
    )


def _field(headers: Mapping[str, str], name: str) -> str:
    """All its lines as one; empty when there is none."""
    return ", ".join(value.strip() for key, value in headers.items() if key.lower() == name)


def _member(headers: Mapping[str, str], name: str, label: str) -> str:
    found = [value for key, value in _members(_field(headers, name)) if key == label]
    if len(found) != 1:
        raise SignatureRefused(f"not exactly one {name} of that label")
    return found[0]


def _members(field: str) -> Iterator[tuple[str, str]]:
    """Name and value of each member of a dictionary, split at commas that are not in strings."""
    pieces, member = _PIECE.findall(field), ""
    if "".join(pieces) != field:
        raise SignatureRefused("a string without an end")
    for piece in [*pieces, ","]:
        if piece != ",":
            member += piece
            continue
        if found := _MEMBER.fullmatch(member.strip()):
            yield found[1], found[2]
        member = ""


def _bytes_of(value: str) -> bytes:
    found = _BYTES.fullmatch(value)
    try:
        return base64.b64decode(found[1], validate=True) if found else b""
    except ValueError as error:
        raise SignatureRefused("not base64") from error
