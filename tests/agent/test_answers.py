"""A platform's answers: believed when signed, fresh and ours; their documents one by one."""

import base64
import hmac
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.agent.answers import AnswerRefused, Held, Outcome, Reader, absorb, opened
from bridge_node.agent.documents import Terms
from bridge_node.catalog import AccessKey, Catalog, Repository, joined
from bridge_node.crypto import sealing
from bridge_node.messages import (
    AttachmentDocument,
    BackendDocument,
    ConfigAnswer,
    RepositoryDocument,
    SealedDocument,
    digest,
)
from bridge_node.operations import Access
from tests.agent.peer import NODE, ORGANISATION, TOKEN_KEY, Platform, repository

SEAL = sealing.new_sealing_key()
KEY = sealing.new_signing_key()
NOW = time.time()
TERMS = Terms(allow_private_addresses=False, roots={"disk": Path("/srv/disk")})
READER = Reader(ORGANISATION, NODE, SEAL, {KEY.thumbprint(): KEY}, TERMS)


def platform(*documents: RepositoryDocument) -> Platform:
    peer = Platform(key=KEY, seal_key=SEAL)
    peer.give(*documents)
    return peer


def taken_up(answer: ConfigAnswer, before: Mapping[str, Held], taken: Collection[str]) -> Outcome:
    return absorb(answer, opened(READER, answer), before, taken)


def held(*documents: RepositoryDocument) -> dict[str, Held]:
    """What is in force after a good answer with these documents."""
    outcome = taken_up(platform(*documents).answer({}), {}, ())
    assert not outcome.refused
    return dict(outcome.held)


def keys(of: Held) -> set[str]:
    return {key.id for key in of.served.keys}


# --- the answer ----------------------------------------------------------------------------------------------------


def test_a_good_answer_is_believed() -> None:
    peer = platform(repository())
    answer = READER.fresh_answer(peer.signed(peer.answer({})), NOW, 0)
    assert answer.version == peer.version


def refused(token: bytes, floor: int = 0, now: float = NOW) -> str:
    with pytest.raises(AnswerRefused) as refusal:
        READER.fresh_answer(token, now, floor)
    return refusal.value.reason


def test_an_answer_by_another_key_is_not_believed() -> None:
    peer = platform(repository())
    assert refused(peer.signed(peer.answer({}), sealing.new_signing_key())) == "not_signed"


def test_an_answer_changed_on_its_way_is_not_believed() -> None:
    peer = platform(repository())
    head, payload, signature = peer.signed(peer.answer({})).split(b".")
    other = peer.signed(peer.answer({}, revoked=True)).split(b".")[1]
    assert refused(b".".join([head, other, signature])) == "not_signed"
    assert refused(b".".join([head, payload, b""])) == "not_signed"


def test_an_answer_signed_with_the_public_key_as_a_secret_is_not_believed() -> None:
    """The old trick with HMAC: what everybody knows is no secret."""
    peer = platform(repository())
    head = base64url(json.dumps({"alg": "HS256", "kid": KEY.thumbprint()}).encode())
    signed = head + b"." + base64url(peer.answer({}).encode())
    mac = base64url(hmac.digest(KEY.as_pem(private=False), signed, "sha256"))
    assert refused(signed + b"." + mac) == "not_signed"


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.mark.parametrize("other", [{"org": "org-2"}, {"node": "node-2"}])
def test_an_answer_to_somebody_else_is_not_believed(other: dict[str, str]) -> None:
    peer = platform(repository())
    assert refused(peer.signed(peer.answer({}, **other))) == "for_somebody_else"


@pytest.mark.parametrize("drift", [-301, 301])
def test_an_answer_of_another_time_is_not_believed(drift: int) -> None:
    peer = platform(repository())
    assert refused(peer.signed(peer.answer({}, issuedAt=int((NOW + drift) * 1000)))) == "not_fresh"


def test_a_platform_rolled_back_is_not_believed() -> None:
    peer = platform(repository())
    assert refused(peer.signed(peer.answer({}, version=41)), floor=42) == "rolled_back"


def test_an_answer_without_a_lease_is_not_believed() -> None:
    peer = platform(repository())
    assert refused(peer.signed(peer.answer({}, notAfter=0))) == "expired"


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_garbage_is_refused(garbage: bytes) -> None:
    refused(garbage)
    with pytest.raises(AnswerRefused):
        READER.fresh_answer(sealing.sign(garbage, KEY).encode(), NOW, 0)


# --- its documents -------------------------------------------------------------------------------------------------


def with_document(broken: SealedDocument, *, serves: dict[str, str] | None = None) -> ConfigAnswer:
    peer = platform(repository("repo-1"), repository("repo-2", key="AKREPO2"))
    good = peer.sealed("repo-2")
    named = serves or {"repo-1": broken.digest, "repo-2": good.digest}
    return peer.answer({}, serves=named, documents=[broken, good])


def sealed(data: bytes, **address: str) -> SealedDocument:
    to = sealing.Address(**{"organisation": ORGANISATION, "node": NODE, "document": "repo-1", **address})
    return platform().sealed("repo-1", data, to)


NEW = repository("repo-1", key="AKNEW")


@pytest.mark.parametrize(
    "broken",
    [
        sealed(NEW.encode(), node="node-2"),
        sealed(NEW.encode(), organisation="org-2"),
        sealed(NEW.encode(), document="repo-3"),
        sealed(b"no json"),
        sealed(b"{}"),
        sealed(repository("repo-9").encode()),
        sealed(NEW.encode()).model_copy(update={"sealed": "a.b.c.d.e"}),
        sealed(NEW.encode()).model_copy(update={"digest": digest(b"another")}),
        sealed(repository("repo-1", token_key="short").encode()),
        sealed(repository("repo-1", root="/etc").encode()),
        sealed(repository("repo-1", mode="MIRROR").encode()),
        sealed(repository("repo-1", protocol="GCS").encode()),
    ],
    ids=[
        "other node",
        "other organisation",
        "other document",
        "no json",
        "empty",
        "other repository",
        "no seal",
        "digest",
        "token key",
        "path for a root",
        "mirror",
        "protocol",
    ],
)
def test_a_broken_document_leaves_its_repository_as_it_was_and_the_others_change(broken: SealedDocument) -> None:
    before = held(repository("repo-1"))
    outcome = taken_up(with_document(broken), before, ())
    assert outcome.held["repo-1"] == before["repo-1"]
    assert keys(outcome.held["repo-2"]) == {"AKREPO2"}
    assert list(outcome.refused) == ["repo-1"]


def test_removals_apply_beside_a_broken_document() -> None:
    before = held(repository("repo-1"), repository("repo-2", key="AKREPO2"), repository("repo-3", key="AKREPO3"))
    broken = sealed(b"no json")
    peer = platform(repository("repo-1"), repository("repo-2", key="AKREPO2"))
    answer = peer.answer(
        {}, serves={"repo-1": broken.digest, "repo-3": "0" * 64}, documents=[broken], removed=["repo-3"]
    )
    assert list(taken_up(answer, before, ()).held) == ["repo-1"]


def test_a_document_that_the_answer_does_not_serve_is_ignored() -> None:
    peer = platform(repository())
    outcome = taken_up(peer.answer({}, serves={}), {}, ())
    assert (outcome.held, outcome.refused) == ({}, {})


# --- access keys ---------------------------------------------------------------------------------------------------


def test_an_access_key_cannot_be_taken_from_another_repository() -> None:
    before = held(repository("repo-1", key="AKONE"), repository("repo-2", key="AKTWO"))
    peer = platform(repository("repo-1", key="AKONE"), repository("repo-2", key="AKONE"))
    outcome = taken_up(peer.answer({}), before, ())
    assert (keys(outcome.held["repo-1"]), keys(outcome.held["repo-2"])) == ({"AKONE"}, {"AKTWO"})
    assert list(outcome.refused) == ["repo-2"]


def test_who_has_a_key_keeps_it_also_when_its_own_document_changes_and_comes_later() -> None:
    before = held(repository("repo-1", key="AKONE"), repository("repo-2", key="AKTWO"))
    peer = platform(
        repository("repo-1", key="AKTWO"), repository("repo-2", key="AKTWO", options={"unattached_sources": True})
    )
    outcome = taken_up(peer.answer({}), before, ())
    assert list(outcome.refused) == ["repo-1"]
    assert keys(outcome.held["repo-2"]) == {"AKTWO"}


def test_a_key_may_move_in_one_answer() -> None:
    before = held(repository("repo-1", key="AKONE"), repository("repo-2", key="AKTWO"))
    peer = platform(repository("repo-1", key="AKNEW"), repository("repo-2", key="AKONE"))
    outcome = taken_up(peer.answer({}), before, ())
    assert (keys(outcome.held["repo-1"]), keys(outcome.held["repo-2"])) == ({"AKNEW"}, {"AKONE"})
    assert not outcome.refused


def test_a_key_stays_where_the_document_that_would_give_it_up_is_broken() -> None:
    before = held(repository("repo-1", key="AKONE"), repository("repo-2", key="AKTWO"))
    peer = platform(repository("repo-1", key="AKNEW"), repository("repo-2", key="AKONE"))
    broken = peer.sealed("repo-1", b"no json")
    answer = peer.answer(
        {},
        serves={"repo-1": broken.digest, "repo-2": peer.sealed("repo-2").digest},
        documents=[broken, peer.sealed("repo-2")],
    )
    assert taken_up(answer, before, ()).held == before


def test_of_two_new_repositories_with_one_key_the_first_has_it() -> None:
    peer = platform(repository("b", key="AKONE"), repository("a", key="AKONE"))
    outcome = taken_up(peer.answer({}), {}, ())
    assert (list(outcome.held), list(outcome.refused)) == (["a"], ["b"])


def test_the_operators_own_keys_and_repositories_cannot_be_taken_over() -> None:
    outcome = taken_up(platform(repository(key="AKOWN")).answer({}), {}, {"AKOWN"})
    assert list(outcome.refused) == ["repo-1"]
    mine = Repository("repo-1", "mine", "s3", bytes(32))
    own = Catalog(1, {"repo-1": mine}, {})
    (theirs,) = held(repository()).values()
    given = Catalog(7, {"repo-1": theirs.served.repository}, {key.id: key for key in theirs.served.keys})
    both = joined(own, given, 8)
    assert (both.version, dict(both.repositories), dict(both.keys)) == (8, {"repo-1": mine}, {})


# --- what a document becomes ---------------------------------------------------------------------------------------


def s3_attachment(**backend: Any) -> AttachmentDocument:
    spoken = {"kind": "s3", "endpoint": "https://s3.example.com", "key": "K", "secret": "S", **backend}
    return AttachmentDocument(id="b", backend=BackendDocument.model_validate(spoken), bucket="data", folder="alias")


def test_a_document_becomes_what_the_catalog_needs() -> None:
    (one,) = held(repository(attachments=(s3_attachment(region="eu-west-1"),))).values()
    (bucket,) = one.served.repository.buckets
    spec = bucket.backend
    assert (bucket.id, bucket.bucket, bucket.folder) == ("b", "data", "alias")
    assert (spec.kind, spec.endpoint, spec.region, spec.access_key) == (
        "s3",
        "https://s3.example.com",
        "eu-west-1",
        "K",
    )
    assert spec.secret_key.get_secret_value() == "S"
    assert not spec.allow_private_addresses
    (key,) = one.served.keys
    assert isinstance(key, AccessKey)
    assert (key.id, key.platform_id, key.repository) == ("AKREPO1", "key-of-repo-1", "repo-1")
    assert key.access == Access.READ | Access.WRITE
    assert one.served.repository.token_key == bytes(range(32))
    assert TOKEN_KEY not in repr(one.served)


def test_a_document_without_credentials_does_not_get_the_nodes_own() -> None:
    answer = platform(repository(attachments=(s3_attachment(key="", secret=""),))).answer({})
    assert "no credentials" in taken_up(answer, {}, ()).refused["repo-1"]


def test_a_disabled_repository_is_served_as_one() -> None:
    (one,) = held(repository(disabled=True)).values()
    assert one.served.repository.disabled
    assert one.served.keys
    assert one.served.repository.attachments
