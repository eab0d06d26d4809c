"""Continuation tokens and upload ids: what may be opened, by whom, and for what."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.crypto.tokens import InvalidToken, TokenSeal

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
PURPOSE = ("list", "photos", "2026/", "/")


@given(content=st.binary(max_size=500), purpose=st.lists(st.text(max_size=20), max_size=4))
def test_what_was_sealed_is_opened_for_the_same_purpose(content: bytes, purpose: list[str]) -> None:
    assert TokenSeal(KEY).open(purpose, TokenSeal(KEY).seal(purpose, content)) == content


def test_a_token_is_safe_in_a_url() -> None:
    token = TokenSeal(KEY).seal(PURPOSE, bytes(range(256)))
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


def test_an_upload_has_one_id_whoever_lists_it() -> None:
    assert TokenSeal(KEY).seal(PURPOSE, b"handle") == TokenSeal(KEY).seal(PURPOSE, b"handle")


def test_different_contents_share_no_salt() -> None:
    assert TokenSeal(KEY).seal(PURPOSE, b"a")[:20] != TokenSeal(KEY).seal(PURPOSE, b"b")[:20]


def test_the_content_cannot_be_read_from_a_token() -> None:
    assert "c2VjcmV0" not in TokenSeal(KEY).seal(PURPOSE, b"secretsecretsecret")


@pytest.mark.parametrize(
    "purpose",
    [
        ("upload", "photos", "2026/", "/"),
        ("list", "videos", "2026/", "/"),
        ("list", "photos", "2025/", "/"),
        ("list", "photos", "2026/", ""),
        ("list", "photos2026/", "", "/"),
        ("list", "photos", "2026/"),
    ],
)
def test_a_token_serves_no_other_purpose(purpose: tuple[str, ...]) -> None:
    token = TokenSeal(KEY).seal(PURPOSE, b"position")
    with pytest.raises(InvalidToken):
        TokenSeal(KEY).open(purpose, token)


def test_a_token_of_the_previous_key_is_still_opened() -> None:
    token = TokenSeal(OTHER).seal(PURPOSE, b"position")
    assert TokenSeal(KEY, OTHER).open(PURPOSE, token) == b"position"


def test_a_token_of_another_repository_is_refused() -> None:
    with pytest.raises(InvalidToken):
        TokenSeal(KEY).open(PURPOSE, TokenSeal(OTHER).seal(PURPOSE, b"position"))


@pytest.mark.parametrize("position", [0, 10, 30, -1])
def test_a_changed_token_is_refused(position: int) -> None:
    characters = list(TokenSeal(KEY).seal(PURPOSE, b"x" * 16))
    characters[position] = "A" if characters[position] != "A" else "Q"
    with pytest.raises(InvalidToken):
        TokenSeal(KEY).open(PURPOSE, "".join(characters))


@given(token=st.text(max_size=200))
def test_garbage_is_refused_and_nothing_else(token: str) -> None:
    with pytest.raises(InvalidToken):
        TokenSeal(KEY).open(PURPOSE, token)


def test_an_endless_token_is_refused_unread() -> None:
    with pytest.raises(InvalidToken):
        TokenSeal(KEY).open(PURPOSE, "A" * 100_000)
