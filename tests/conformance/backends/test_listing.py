"""Listings show every key once, in UTF-8 byte order, page by page, folded at the delimiter."""

import asyncio

import pytest

from bridge_node.body import BytesSource
from bridge_node.errors import NoSuchBucket
from bridge_node.operations import ListObjects, ListVersions, PutObject
from tests.conformance.backends.subject import WIRE, Subject, md5

# Sorted as S3 sorts: by bytes, over which a directory's slash has no privilege.
KEYS = [
    "A", "a", "a!b", "a-b/c", "a/", "a/b", "a/b/c", "a/b/d", "a0", "b//c", "b/c", "b/c/d/e", "c",
    "p" * 84 + "!", "p" * 84 + "/q", "p" * 84 + "q", "z/" + "y" * 300, "é", "語", "😀",
]  # fmt: skip


@pytest.fixture
async def full(subject: Subject) -> Subject:
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


async def test_keys_are_listed_in_utf_8_byte_order(full: Subject) -> None:
    assert await full.keys() == KEYS


@pytest.mark.parametrize("delimiter", ["", "/", "b", "//", "é", "/b/"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "b/", "p" * 80, "p" * 84, "z/yy", "nothing", "語"])
async def test_prefix_and_delimiter_fold_keys(full: Subject, prefix: str, delimiter: str) -> None:
    pages = await shown(full, prefix=prefix, delimiter=delimiter)
    assert pages == [folded(KEYS, prefix, delimiter)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize(("prefix", "delimiter"), [("", ""), ("", "/"), ("a", "/"), ("a/", ""), ("", "b"), ("b/", "/")])
async def test_pages_together_show_everything_once(full: Subject, prefix: str, delimiter: str, limit: int) -> None:
    pages = await shown(full, prefix=prefix, delimiter=delimiter, limit=limit)
    expected = folded(KEYS, prefix, delimiter)
    assert [entry for page in pages for entry in page] == expected
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("after", ["", "A", "a", "a/", "a/b", "a/b/c", "a/b0", "b/c", "p" * 84, "zzz", "😀"])
async def test_a_listing_starts_behind_after(full: Subject, after: str, delimiter: str) -> None:
    (page,) = await shown(full, after=after, delimiter=delimiter)
    behind = [key for key in KEYS if key.encode() > after.encode()]
    assert page == [
        entry for entry in folded(behind, "", delimiter) if entry != after or (entry in behind and not delimiter)
    ]


async def test_a_limit_of_nothing_is_an_empty_page_and_not_cut_short(full: Subject) -> None:
    page = await full.list(limit=0)
    assert (page.objects, page.prefixes, page.token) == ((), (), None)


async def test_a_page_that_is_just_full_has_no_token(full: Subject) -> None:
    page = await full.list(limit=len(KEYS))
    assert len(page.objects) == len(KEYS)
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


async def test_a_listing_resumes_behind_keys_that_came_and_went(full: Subject) -> None:
    first = await full.list(limit=6)
    assert first.token is not None
    await full.delete(KEYS[5])
    await full.put(KEYS[5] + "+", b"new")
    second = await full.list(token=first.token)
    assert [info.key for info in second.objects] == [KEYS[5] + "+", *KEYS[6:]]


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


async def test_without_versions_each_object_is_one_version_called_null(full: Subject) -> None:
    op = ListVersions(WIRE, prefix="a/")
    listing = await full.backend.list_versions(full.bucket, op)
    assert [(info.key, info.version_id, info.is_latest) for info in listing.objects] == [
        (key, "null", True) for key in KEYS if key.startswith("a/")
    ]


async def test_versions_are_paged_by_key_and_version(full: Subject) -> None:
    found: list[str] = []
    after, after_version = "", None
    for _ in range(len(KEYS)):
        op = ListVersions(WIRE, after=after, after_version=after_version, limit=3)
        listing = await full.backend.list_versions(full.bucket, op)
        found += [info.key for info in listing.objects]
        if listing.token is None:
            break
        after, after_version = listing.objects[-1].key, listing.objects[-1].version_id
    assert found == KEYS


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
