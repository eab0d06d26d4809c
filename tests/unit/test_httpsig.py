"""Our HTTP message signatures against the RFCs' own examples and against another implementation."""

import base64
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.crypto import httpsig, orgkey
from bridge_node.crypto.httpsig import Call, SignatureRefused, content_digest, signature_base

NOW = time.time()
CALL = Call("POST", "https://platform.example.com/node/config?x=1&y", b'{"known":{}}')
ED25519 = Ed25519PrivateKey.generate()
RSA = orgkey.load_private(orgkey.generate()[0])
KEYS: dict[str, tuple[httpsig.PrivateKey, Any]] = {
    "ed25519": (ED25519, algorithms.ED25519),
    "rsa": (RSA, algorithms.RSA_V1_5_SHA256),
}


# The RFCs' examples


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_base_and_signature_of_rfc_9421_b_2_6() -> None:
    key = Ed25519PrivateKey.from_private_bytes(_unpadded("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"))
    assert key.public_key().public_bytes_raw() == _unpadded("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
    covered = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    names = " ".join(f'"{name}"' for name, _ in covered)
    base = signature_base(covered, f'({names});created=1618884473;keyid="test-key-ed25519"')
    signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    assert base64.b64encode(key.sign(base)).decode() == signature


def test_the_digests_of_rfc_9530() -> None:
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    assert content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


# Another implementation


@dataclass
class Message:
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class Resolver(HTTPSignatureKeyResolver):
    def __init__(self, key: httpsig.PrivateKey) -> None:
        self._key = key

    def resolve_public_key(self, key_id: str) -> Any:
        return self._key.public_key()

    def resolve_private_key(self, key_id: str) -> Any:
        return self._key


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("url", [CALL.url, "http://Host.example:80", "http://[::1]:8080/a%2Fb//c?", "https://h:8443/"])
def test_what_we_sign_another_implementation_verifies(kind: str, url: str) -> None:
    key, algorithm = KEYS[kind]
    headers = httpsig.sign(key, "node", Call("POST", url, CALL.body), time.time())  # by the clock that it looks at
    verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Resolver(key))
    (result,) = verifier.verify(
        Message("POST", url, headers),
        max_age=timedelta(minutes=5),
        expect_tag=httpsig.TAG,
        require_components=httpsig.COVERED,
        body=CALL.body,
    )
    assert result.parameters["keyid"] == "node"


def signed_elsewhere(kind: str, *, include_alg: bool = False, label: str = "sig1", **options: Any) -> dict[str, str]:
    key, algorithm = KEYS[kind]
    message = Message(CALL.method, CALL.url, dict(options.pop("headers", {})))
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Resolver(key))
    signer.sign(
        message,
        key_id="node",
        created=datetime.fromtimestamp(NOW, UTC),
        nonce=options.pop("nonce", "a-nonce-of-some-length"),
        tag=options.pop("tag", httpsig.TAG),
        label=label,
        include_alg=include_alg,
        covered_component_ids=options.pop("covered", tuple(reversed(httpsig.COVERED))),
        body=CALL.body,
        append_if_signature_exists=bool(message.headers),
        use_existing_digest=bool(message.headers),
    )
    return message.headers


def verified(kind: str, headers: dict[str, str]) -> httpsig.Verified:
    return httpsig.verify({"node": KEYS[kind][0].public_key()}.get, CALL, headers, NOW)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("include_alg", [False, True])
def test_what_another_implementation_signs_we_verify(kind: str, include_alg: bool) -> None:
    headers = signed_elsewhere(kind, include_alg=include_alg)
    assert verified(kind, headers).nonce == "a-nonce-of-some-length"
    assert httpsig.claimed_keyid(headers) == "node"


def test_another_signature_beside_ours_does_not_matter() -> None:
    proxy = signed_elsewhere(
        "rsa", label="proxy", tag='a "proxy", bridge-node=()', covered=("@method", "content-digest")
    )
    headers = signed_elsewhere("ed25519", headers=proxy)
    assert headers["Signature-Input"].count("created=") == 2
    assert verified("ed25519", headers).keyid == "node"


# What is refused

FIELDS = ("Content-Digest", "Signature-Input", "Signature")

CHANGES = {
    "two signatures of ours": lambda headers: {
        **headers,
        "Signature-Input": f"{headers['Signature-Input']}, again{headers['Signature-Input'].removeprefix(httpsig.TAG)}",
    },
    "the signature twice": lambda headers: {**headers, "Signature": f"{headers['Signature']}, {headers['Signature']}"},
    "a string without an end": lambda headers: {**headers, "Signature-Input": headers["Signature-Input"] + '"'},
    "another algorithm than the key's": lambda headers: {
        **headers,
        "Signature-Input": headers["Signature-Input"] + ';alg="rsa-v1_5-sha256"',
    },
    "a parameter twice": lambda headers: {**headers, "Signature-Input": headers["Signature-Input"] + ";created=1"},
    "no digest of a known kind": lambda headers: {**headers, "Content-Digest": "md5=:AAAA:"},
    "no digest": lambda headers: {name: headers[name] for name in FIELDS[1:]},
    "no signature": lambda headers: {name: headers[name] for name in FIELDS[:2]},
    "an empty signature": lambda headers: {**headers, "Signature": f"{httpsig.TAG}=::"},
    "no base64": lambda headers: {**headers, "Signature": f"{httpsig.TAG}=:A:"},
    "a component with parameters": lambda headers: {
        **headers,
        "Signature-Input": headers["Signature-Input"].replace('"@path"', '"@path";req'),
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fields_that_are_not_as_they_were_signed_are_refused(change: Any) -> None:
    with pytest.raises(SignatureRefused):
        verified("ed25519", change(httpsig.sign(ED25519, "node", CALL, NOW)))


def test_a_further_digest_has_to_be_the_bodys_too() -> None:
    call = Call(CALL.method, CALL.url, b"another body")
    other = {"Content-Digest": f"{content_digest(CALL.body)}, sha-512=:AAAA:"}
    with pytest.raises(SignatureRefused):
        verified("ed25519", {**httpsig.sign(ED25519, "node", call, NOW), **other})


@pytest.mark.parametrize("nonce", ["short", "x" * 129])
def test_a_nonce_is_neither_short_nor_without_end(nonce: str) -> None:
    with pytest.raises(SignatureRefused, match="nonce"):
        verified("ed25519", httpsig.sign(ED25519, "node", CALL, NOW, nonce))


@given(st.sampled_from(FIELDS), st.integers(0, 400), st.text(st.characters(max_codepoint=255), max_size=3))
def test_no_changed_character_is_ever_accepted_as_another_call(name: str, place: int, text: str) -> None:
    """What is accepted says the same: white space around a member may differ, nothing else."""
    headers = httpsig.sign(ED25519, "node", CALL, NOW, "a-nonce-of-some-length")
    changed = headers[name][:place] + text + headers[name][place + 1 :]
    try:
        found = verified("ed25519", {**headers, name: changed})
    except SignatureRefused:
        return
    assert (found.keyid, found.nonce, found.created) == ("node", "a-nonce-of-some-length", int(NOW))
