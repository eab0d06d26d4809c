"""Keys are opaque: whatever UTF-8 text a client names an object with, it finds it again under exactly that name."""

import unicodedata

import pytest

from bridge_node.errors import NoSuchKey
from tests.conformance.backends.subject import Subject

KEYS = {
    "plain": "photo.jpg",
    "slash": "/",
    "slashes": "//",
    "leading-slash": "/lead",
    "trailing-slash": "dir/",
    "inner-double-slash": "a//b",
    "many-slashes": "///a///",
    "dot": ".",
    "dot-dot": "..",
    "dot-segments": "a/../b",
    "dot-segment": "a/./b",
    "climbing": "../../../../etc/passwd",
    "hidden": ".hidden/.file",
    "percent": "100%",
    "percent-encoded": "a%2Fb",
    "percent-percent": "%25",
    "plus-and-space": "a+b c",
    "leading-and-trailing-space": " a ",
    "quotes": "a\"b'c`d",
    "xml": "<a>&amp;</a>",
    "query": "a?b=c&d#e",
    "backslash": "a\\b",
    "colon-and-star": "a:b*c|d",
    "tilde": "~/a~b",
    "control": "a\x01b\x1fc\x7fd",
    "newline": "a\r\nb\tc",
    "nfc": unicodedata.normalize("NFC", "Café"),
    "nfd": unicodedata.normalize("NFD", "Café"),
    "emoji": "🦊/📦.bin",
    "last-code-point": "\U0010fffd",
    "right-to-left": "\u202eabc",
    "capital": "Photo.JPG",
    "long-segment": "s" * 300,
    "long-segment-of-three-bytes-each": "語" * 340,
    "longest": "k" * 1024,
    "longest-of-escapes": "%" * 1024,
    "longest-of-slashes": "/" * 1024,
    "longest-of-directories": "a/" * 512,
    "suffixes-of-our-own": "a.o/b.d/c.c",
    "a-piece": "p" * 84,
    "a-piece-and-a-slash": "p" * 84 + "/",
}


@pytest.mark.parametrize("name", KEYS)
async def test_any_key_round_trips(subject: Subject, name: str) -> None:
    key = KEYS[name]
    await subject.put(key, b"content of " + name.encode(), metadata={"name": name})
    assert await subject.get(key) == b"content of " + name.encode()
    assert (await subject.head(key)).key == key
    assert await subject.keys() == [key]
    assert await subject.keys(prefix=key) == [key]
    await subject.delete(key)
    assert await subject.keys() == []
    with pytest.raises(NoSuchKey):
        await subject.head(key)


COEXISTING = (
    "a",
    "a/",
    "a//",
    "a/b",
    "a/b/c",
    "A",
    "a.",
    "a.o",
    "a.d",
    "a.d/b.o",
    "%61",
    "p" * 84,
    "p" * 85,
    "p" * 84 + "/x",
)


async def test_keys_that_look_alike_are_different_objects(subject: Subject) -> None:
    for key in COEXISTING:
        await subject.put(key, key.encode())
    assert await subject.keys() == sorted(COEXISTING)
    for key in COEXISTING:
        assert await subject.get(key) == key.encode()
    for gone, key in enumerate(COEXISTING, start=1):
        await subject.delete(key)
        assert await subject.keys() == sorted(COEXISTING[gone:])


async def test_an_object_whose_key_ends_with_a_slash_may_have_content(subject: Subject) -> None:
    await subject.put("dir/", b"content")
    await subject.put("dir/file", b"other")
    assert await subject.get("dir/") == b"content"
    await subject.delete("dir/")
    assert await subject.get("dir/file") == b"other"
