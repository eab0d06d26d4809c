"""Signatures and seals between node and platform (contract §5, node-protocol.md §§2–3)."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge_node.crypto import httpsig, orgkey, sealing

NOW = time.time()
URL = "http://127.0.0.1:8080/node/config?x=1"
CALL = httpsig.Call("POST", URL, b'{"known":{}}')
NODE_KEY = Ed25519PrivateKey.generate()
PRIVATE_PEM, PUBLIC_PEM = orgkey.generate()


def find(keyid: str) -> httpsig.PublicKey | None:
    return NODE_KEY.public_key() if keyid == "node" else None


def signed() -> dict[str, str]:
    return httpsig.sign(NODE_KEY, "node", CALL, NOW)


def test_a_signed_call_verifies_and_names_its_key_and_nonce() -> None:
    verified = httpsig.verify(find, CALL, signed(), NOW)
    assert (verified.keyid, verified.created) == ("node", int(NOW))
    assert verified.nonce != httpsig.verify(find, CALL, signed(), NOW).nonce


@pytest.mark.parametrize(
    "changed",
    [
        httpsig.Call("PUT", URL, CALL.body),
        httpsig.Call("POST", "http://127.0.0.1:8080/status?x=1", CALL.body),
        httpsig.Call("POST", "http://127.0.0.1:8080/node/config", CALL.body),
        httpsig.Call("POST", "http://127.0.0.2:8080/node/config?x=1", CALL.body),
        httpsig.Call("POST", URL, b'{"known":{} }'),
    ],
    ids=["method", "route", "query", "authority", "body"],
)
def test_a_call_changed_after_signing_is_refused(changed: httpsig.Call) -> None:
    with pytest.raises(httpsig.SignatureRefused):
        httpsig.verify(find, changed, signed(), NOW)


@pytest.mark.parametrize("drift", [-301, 301])
def test_a_call_signed_too_long_ago_or_ahead_is_refused(drift: float) -> None:
    with pytest.raises(httpsig.SignatureRefused):
        httpsig.verify(find, CALL, signed(), NOW + drift)


@pytest.mark.parametrize("component", httpsig.COVERED)
def test_a_good_signature_that_leaves_a_component_out_is_refused(
    component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lax:
        lax.setattr(httpsig, "COVERED", tuple(name for name in httpsig.COVERED if name != component))
        headers = signed()
        assert httpsig.verify(find, CALL, headers, NOW)
    with pytest.raises(httpsig.SignatureRefused, match="other components"):
        httpsig.verify(find, CALL, headers, NOW)


def test_an_unknown_key_another_key_and_garbage_are_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    for headers in (
        httpsig.sign(NODE_KEY, "other", CALL, NOW),
        httpsig.sign(stranger, "node", CALL, NOW),
        {},
        {"Signature": "garbage", "Signature-Input": "((("},
        {**signed(), "Signature": "bridge-node=:AAAA:"},
    ):
        with pytest.raises(httpsig.SignatureRefused):
            httpsig.verify(find, CALL, headers, NOW)


def test_the_organisations_rsa_key_signs_an_enrolment() -> None:
    private = orgkey.load_private(PRIVATE_PEM)
    headers = httpsig.sign(private, "org", CALL, NOW)
    assert httpsig.verify(lambda _: orgkey.load_public(PUBLIC_PEM), CALL, headers, NOW).keyid == "org"


def test_the_vendors_signed_text_verifies_in_every_form_that_callers_use() -> None:
    private, public = orgkey.load_private(PRIVATE_PEM), {"k1": orgkey.load_public(PUBLIC_PEM)}
    signature = orgkey.sign(private, "203.0.113.7", "eu-west-1", "1770000000")
    texts = orgkey.candidates("203.0.113.7", "eu-west-1", "1770000000", "org-1", "")
    assert orgkey.verify(public, texts, signature) == "k1"
    assert orgkey.verify(public, [b"203.0.113.7|eu-west-1|1770000001"], signature) is None
    assert orgkey.verify(public, texts, signature[:-4] + "AAA=") is None
    assert orgkey.verify(public, texts, "not base64!") is None
    stored = orgkey.candidates("203.0.113.7", None, "1770000000", "org-1", "eu-west-1")
    assert orgkey.verify(public, stored, signature) == "k1"


def test_only_a_bounded_number_of_keys_is_tried() -> None:
    private, public = orgkey.load_private(PRIVATE_PEM), orgkey.load_public(PUBLIC_PEM)
    other = orgkey.load_public(orgkey.generate()[1])
    keys = {f"k{n}": other for n in range(orgkey.KEYS_TRIED)} | {"right": public}
    signature = orgkey.sign(private, "a", "b", "1")
    assert orgkey.verify(keys, [b"a|b|1"], signature) is None


@pytest.mark.parametrize("field", ["a|b", "a\nb", "a\x00"])
def test_fields_that_would_blur_the_signed_text_are_refused(field: str) -> None:
    with pytest.raises(orgkey.UnsignableText):
        orgkey.signed_text("ip", field, "1")


def test_timestamps_are_read_in_seconds_milliseconds_and_iso_form() -> None:
    for text in ("1770000000", "1770000000000", "2026-02-02T02:40:00Z", "2026-02-02T02:40:00"):
        assert orgkey.instant(text) == 1770000000
    for text in ("", "yesterday", "nan", "inf", "-5", "1e400"):
        assert orgkey.instant(text) is None
    assert orgkey.fresh("1770000000", 1770000300)
    assert not orgkey.fresh("1770000000", 1770000301)


@pytest.mark.parametrize("pem", ["", "garbage", PUBLIC_PEM])
def test_what_is_no_rsa_private_key_is_refused(pem: str) -> None:
    with pytest.raises(orgkey.BadOrganisationKey):
        orgkey.load_private(pem)


def test_an_answer_opens_only_with_the_key_that_signed_it() -> None:
    ours, other = sealing.new_signing_key(), sealing.new_signing_key()
    token = sealing.sign(b"x" * 300_000, ours)
    assert sealing.opened(token, {ours.thumbprint(): ours}) == b"x" * 300_000
    forged = sealing.sign(b"x", other)
    header, _, signature = token.split(".")
    for bad in (forged, f"{header}.eHg.{signature}", "a.b.c", ""):
        with pytest.raises(sealing.SealBroken):
            sealing.opened(bad, {ours.thumbprint(): ours})


def test_a_document_opens_only_for_the_node_and_id_it_was_sealed_for() -> None:
    key, stranger = sealing.new_sealing_key(), sealing.new_sealing_key()
    address = sealing.Address("org", "node", "doc")
    token = sealing.seal(b"secret", address, key)
    assert sealing.unseal(token, address, key) == b"secret"
    assert b"secret" not in token.encode()
    for who, where in (
        (stranger, address),
        (key, sealing.Address("org", "node", "other")),
        (key, sealing.Address("org", "elsewhere", "doc")),
        (key, sealing.Address("other", "node", "doc")),
    ):
        with pytest.raises(sealing.SealBroken):
            sealing.unseal(token, where, who)


def test_a_document_sealed_by_a_weaker_way_is_refused() -> None:
    from joserfc import jwe  # noqa: PLC0415 - only the forger needs it

    key = sealing.new_sealing_key()
    token = jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A128CBC-HS256"}, b"x", key)
    with pytest.raises(sealing.SealBroken):
        sealing.unseal(token, sealing.Address("org", "node", "doc"), key)
