"""Listings show every key once, in UTF-8 byte order, page by page, folded at the delimiter."""

import asyncio

import pytest

from bridge_node.body import BytesSource
from bridge_node.errors import NoSuchBucket
from bridge_node.operations import ListObjects, ListVersions, PutObject
from tests.conformance.backends.subject import WIRE, Subject, md5

# Both sorted as S3 sorts: by bytes, over which a directory's slash has no privilege.
PLAIN_KEYS = [
    "A", "a0", "a1/b", "a1/c/d", "a1/c/e", "a1/f", "b", "c/d/e/f", "c/g", "d.txt", "é", "語", "😀",
]  # fmt: skip
KEYS = [
    "A", "a", "a!b", "a-b/c", "a/", "a/b", "a/b/c", "a/b/d", "a0", "b//c", "b/c", "b/c/d/e", "c",
    "p" * 84 + "!", "p" * 84 + "/q", "p" * 84 + "q", "z/" + "y" * 300, "é", "語", "😀",
]  # fmt: skip


@pytest.fixture
async def plain(subject: Subject) -> Subject:
    """A bucket with keys that every store can hold."""
    await asyncio.gather(*(subject.put(key, key.encode()) for key in PLAIN_KEYS))
    return subject


@pytest.fixture
async def full(subject: Subject) -> Subject:
    """A bucket with keys that hurt: objects that are directories, names longer than files may have."""
    await asyncio.gather(*(subject.put(key, key.encode()) for key in KEYS))
    return subject


def folded(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """What a listing has to show, the slow and simple way."""
    shown: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key[: end + len(delimiter)] if end >= 0 else key
        if entry not in shown[-1:]:
            shown.append(entry)
    return shown


async def shown(subject: Subject, **options: object) -> list[list[str]]:
    """The entries of each page, keys and common prefixes together."""
    pages = []
    async for page in subject.pages(**options):
        keys = [info.key for info in page.objects]
        assert keys == sorted(keys, key=str.encode)
        assert list(page.prefixes) == sorted(page.prefixes, key=str.encode)
        pages.append(sorted([*keys, *page.prefixes], key=str.encode))
    return pages


async def test_keys_are_listed_in_utf_8_byte_order(plain: Subject) -> None:
    assert await plain.keys() == PLAIN_KEYS


async def test_keys_that_hurt_are_listed_in_utf_8_byte_order(full: Subject) -> None:
    assert await full.keys() == KEYS


@pytest.mark.parametrize("delimiter", ["", "/", "c", "é"])
async def test_prefix_and_delimiter_fold_keys(plain: Subject, delimiter: str) -> None:
    for prefix in ("", "a", "a1/", "a1/c", "c/d/", "nothing", "語"):
        assert await shown(plain, prefix=prefix, delimiter=delimiter) == [folded(PLAIN_KEYS, prefix, delimiter)]


@pytest.mark.parametrize("delimiter", ["", "/", "b", "//", "é", "/b/"])
async def test_prefix_and_delimiter_fold_keys_that_hurt(full: Subject, delimiter: str) -> None:
    for prefix in ("", "a", "a/", "a/b", "b/", "p" * 80, "p" * 84, "z/yy", "nothing", "語"):
        assert await shown(full, prefix=prefix, delimiter=delimiter) == [folded(KEYS, prefix, delimiter)]


async def _shows_everything_once(subject: Subject, keys: list[str], limit: int, **options: str) -> None:
    pages = await shown(subject, limit=limit, **options)
    assert [entry for page in pages for entry in page] == folded(
        keys, options.get("prefix", ""), options.get("delimiter", "")
    )
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


@pytest.mark.parametrize("limit", [1, 3])
async def test_pages_together_show_everything_once(plain: Subject, limit: int) -> None:
    for prefix, delimiter in (("", ""), ("", "/"), ("a1/", "/"), ("a1/", ""), ("", "c")):
        await _shows_everything_once(plain, PLAIN_KEYS, limit, prefix=prefix, delimiter=delimiter)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_of_keys_that_hurt_show_everything_once(full: Subject, limit: int) -> None:
    for prefix, delimiter in (("", ""), ("", "/"), ("a", "/"), ("a/", ""), ("", "b"), ("b/", "/")):
        await _shows_everything_once(full, KEYS, limit, prefix=prefix, delimiter=delimiter)


async def _starts_behind(subject: Subject, keys: list[str], after: str, delimiter: str) -> None:
    (page,) = await shown(subject, after=after, delimiter=delimiter)
    behind = [key for key in keys if key.encode() > after.encode()]
    assert page == [entry for entry in folded(behind, "", delimiter) if entry != after]


@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_a_listing_starts_behind_after(plain: Subject, delimiter: str) -> None:
    for after in ("", "A", "a1/", "a1/c", "a1/c/e", "b", "c/d/e/f", "zzz", "😀"):
        await _starts_behind(plain, PLAIN_KEYS, after, delimiter)


@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_a_listing_starts_behind_keys_that_hurt(full: Subject, delimiter: str) -> None:
    for after in ("a", "a/", "a/b", "a/b/c", "a/b0", "b/c", "p" * 84):
        await _starts_behind(full, KEYS, after, delimiter)


async def test_a_limit_of_nothing_is_an_empty_page_and_not_cut_short(plain: Subject) -> None:
    page = await plain.list(limit=0)
    assert (page.objects, page.prefixes, page.token) == ((), (), None)


async def test_a_page_that_is_just_full_has_no_token(plain: Subject) -> None:
    page = await plain.list(limit=len(PLAIN_KEYS))
    assert len(page.objects) == len(PLAIN_KEYS)
    assert page.token is None


async def test_an_empty_bucket_lists_nothing(subject: Subject) -> None:
    page = await subject.list(delimiter="/")
    assert (page.objects, page.prefixes, page.token) == ((), (), None)


async def test_a_deleted_directory_leaves_no_common_prefix(subject: Subject) -> None:
    await subject.put("a/b/c", b"x")
    await subject.put("a/d", b"x")
    await subject.delete("a/b/c")
    assert (await subject.list(prefix="a/", delimiter="/")).prefixes == ()
    await subject.delete("a/d")
    assert (await subject.list(delimiter="/")).prefixes == ()


async def test_a_listing_resumes_behind_keys_that_came_and_went(plain: Subject) -> None:
    first = await plain.list(limit=6)
    assert first.token is not None
    await plain.delete(PLAIN_KEYS[5])
    await plain.put(PLAIN_KEYS[5] + "+", b"new")
    second = await plain.list(token=first.token)
    assert [info.key for info in second.objects] == [PLAIN_KEYS[5] + "+", *PLAIN_KEYS[6:]]


async def test_a_change_is_listed_at_once(subject: Subject) -> None:
    for number in range(20):
        await subject.put(f"key-{number:02}", b"x")
        assert len(await subject.keys()) == number + 1
        assert [info.size for info in (await subject.list(prefix=f"key-{number:02}")).objects] == [1]


async def test_a_listed_object_is_described(subject: Subject) -> None:
    stored = await subject.put("key", b"hello")
    (info,) = (await subject.list()).objects
    head = await subject.head("key")
    assert (info.key, info.size, info.etag) == ("key", 5, md5(b"hello"))
    assert info.etag == stored.etag
    assert int(info.last_modified) == int(head.last_modified)


async def test_more_than_a_thousand_keys_are_listed_over_pages(subject: Subject) -> None:
    keys = [f"{number % 7}/{number:05}" for number in range(1_105)]
    for start in range(0, len(keys), 85):
        await asyncio.gather(*(subject.put(key) for key in keys[start : start + 85]))
    pages = [[info.key for info in page.objects] async for page in subject.pages()]
    assert [len(page) for page in pages] == [1000, 105]
    assert [key for page in pages for key in page] == sorted(keys)
    assert (await subject.list(delimiter="/")).prefixes == tuple(f"{number}/" for number in range(7))


async def test_without_versions_each_object_is_one_version_called_null(plain: Subject) -> None:
    op = ListVersions(WIRE, prefix="a1/")
    listing = await plain.backend.list_versions(plain.bucket, op)
    assert [(info.key, info.version_id, info.is_latest) for info in listing.objects] == [
        (key, "null", True) for key in PLAIN_KEYS if key.startswith("a1/")
    ]


async def test_versions_are_paged_by_key_and_version(plain: Subject) -> None:
    found: list[str] = []
    after, after_version = "", None
    for _ in range(len(PLAIN_KEYS)):
        op = ListVersions(WIRE, after=after, after_version=after_version, limit=3)
        listing = await plain.backend.list_versions(plain.bucket, op)
        found += [info.key for info in listing.objects]
        if listing.token is None:
            break
        after, after_version = listing.objects[-1].key, listing.objects[-1].version_id
    assert found == PLAIN_KEYS


async def test_listing_an_absent_bucket_is_no_such_bucket(subject: Subject) -> None:
    with pytest.raises(NoSuchBucket):
        await subject.backend.list_objects("absent-bucket", ListObjects(WIRE))
    with pytest.raises(NoSuchBucket):
        await subject.backend.list_versions("absent-bucket", ListVersions(WIRE))


async def test_a_listing_during_writes_shows_what_was_there_all_along(subject: Subject) -> None:
    steady = [f"steady-{number:03}" for number in range(60)]
    await asyncio.gather(*(subject.put(key) for key in steady))

    async def churn(number: int) -> None:
        for turn in range(10):
            key = f"steady-{number:03}+{turn}/x"
            await subject.backend.put_object(subject.bucket, PutObject(WIRE, key, BytesSource(b"")))
            await subject.delete(key)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(churn(number), name="churn") for number in range(0, 60, 10)]
        while not all(task.done() for task in tasks):
            listed = [entry for page in await shown(subject, limit=25) for entry in page]
            assert [key for key in listed if "+" not in key] == steady
            await asyncio.sleep(0)
