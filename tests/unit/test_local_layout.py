"""Keys become paths: reversibly, within the root, in an order that a walk can follow."""

import os

from hypothesis import given
from hypothesis import strategies as st

from bridge_node.backends.local import layout

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300) | st.text(
    "a/.%é", min_size=1, max_size=300
)


def key_at(path: bytes) -> bytes:
    """The key whose record lies at `path`, by reading what each name adds."""
    entries = [layout.entry_of(name) for name in path.split(b"/")]
    assert None not in entries
    return b"".join(entry for entry in entries if entry is not None)


@given(KEYS)
def test_a_path_leads_back_to_its_key(key: str) -> None:
    assert key_at(layout.path_of(key)) == key.encode()


@given(KEYS)
def test_no_name_is_too_long_special_or_unprintable(key: str) -> None:
    for name in layout.path_of(key).split(b"/"):
        assert 2 <= len(name) <= 255
        assert name not in (b".", b"..")
        assert all(0x20 <= byte < 0x7F for byte in name)


@given(KEYS)
def test_a_path_stays_where_it_belongs(key: str) -> None:
    path = layout.path_of(key)
    assert os.path.normpath(path) == path
    assert not path.startswith((b"/", b"../"))


@given(KEYS, KEYS)
def test_different_keys_have_different_paths_and_none_lies_within_another(one: str, other: str) -> None:
    if one != other:
        assert layout.path_of(one) != layout.path_of(other)
        assert not layout.path_of(one).startswith(layout.path_of(other) + b"/")


@given(KEYS)
def test_the_directory_of_a_record_is_the_directory_of_its_prefix(key: str) -> None:
    path = layout.path_of(key)
    directory, _, name = path.rpartition(b"/")
    entry = layout.entry_of(name)
    assert entry is not None
    prefix = key.encode()[: len(key.encode()) - len(entry)]
    assert layout.directory_of(prefix) == (directory + b"/" if directory else b"")


def test_plain_keys_are_easy_to_find_on_disk() -> None:
    assert layout.path_of("photos/2026/cat.jpg") == b"photos.d/2026.d/cat.jpg.o"
    assert layout.path_of("a//b/") == b"a.d/.d/b.d/.o"
    assert layout.path_of("100%/é") == b"100%25.d/%C3%A9.o"
    assert layout.path_of("x" * 100) == b"x" * 84 + b".c/" + b"x" * 16 + b".o"


def test_foreign_files_are_no_entries() -> None:
    assert layout.entry_of(b"lost+found") is None
    assert layout.entry_of(b"x" * 84 + b".o") is None
    assert layout.entry_of(b"short.c") is None
