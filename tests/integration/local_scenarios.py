"""What victims of `local_victim.py` are doing when they are killed, and what may then be there."""

from collections.abc import Awaitable, Callable
from typing import Any

from bridge_node.errors import InvalidPart, NoSuchBucket, NoSuchKey, NoSuchUpload
from bridge_node.objects import Conditions, Receipt
from tests.conformance.backends.subject import Subject, md5

BUCKET = "victim"
PART = 40_000
OLD, NEW = b"old" * 30_000, b"new" * 40_000
SMALL = b"small"
KEY = "a/b/key"

Context = dict[str, Any]
Outcome = str
"""`old` or `new`: what the key was found to be, whole."""


async def _state(subject: Subject, old: bytes | None, new: bytes | None) -> Outcome:
    """Whether the key is as before or as after, as every way to look at it agrees."""
    try:
        found: bytes | None = await subject.get(KEY)
    except NoSuchKey:
        found = None
    listed = [info for info in (await subject.list()).objects if info.key == KEY]
    assert [info.size for info in listed] == ([] if found is None else [len(found)])
    assert found in (old, new)
    return "new" if found == new else "old"


async def _nothing(subject: Subject) -> Context:
    return {}


async def _old_object(subject: Subject) -> Context:
    await subject.put(KEY, OLD)
    return {}


async def _old_parts(subject: Subject) -> Context:
    await subject.put_in_parts(KEY, OLD, SMALL)
    return {}


async def _source(subject: Subject) -> Context:
    await subject.put("source", NEW)
    await subject.put(KEY, OLD)
    return {}


async def _staged(subject: Subject) -> Context:
    await subject.put(KEY, OLD)
    upload = await subject.open(KEY)
    receipts = [await subject.stage(KEY, upload, label, data) for label, data in ((1, NEW), (2, SMALL), (3, SMALL))]
    return {"upload": upload, "etags": [receipt.etag for receipt in receipts[:2]]}


def _receipts(context: Context) -> list[Receipt]:
    return [Receipt(label, etag) for label, etag in enumerate(context["etags"], start=1)]


async def _commit(subject: Subject, context: Context) -> None:
    await subject.commit(KEY, context["upload"], _receipts(context))


async def _committed_or_open(subject: Subject, context: Context) -> Outcome:
    """A commit can always be repeated, whether it came to its end or not."""
    state = await _state(subject, OLD, NEW + SMALL)
    await _commit(subject, context)
    assert await subject.get(KEY) == NEW + SMALL
    return state


async def _overwritten_after_commit(subject: Subject, context: Context) -> Outcome:
    """What a commit left undone must not bring its object back, nor take the next one's data."""
    state = await _state(subject, OLD, NEW + SMALL)
    if state == "new":
        await subject.put(KEY, OLD)
        try:
            await _commit(subject, context)
        except NoSuchUpload:
            assert await subject.get(KEY) == OLD
            return state
        raise AssertionError("an object that was replaced came back")
    return state


async def _aborted_after_commit(subject: Subject, context: Context) -> Outcome:
    """An abort that comes after a commit takes nothing of its object."""
    state = await _state(subject, OLD, NEW + SMALL)
    try:
        await subject.abort(KEY, context["upload"])
    except NoSuchUpload:
        assert state == "new"
    else:
        assert state == "old"
    assert await _state(subject, OLD, NEW + SMALL) == state
    return state


async def _abort(subject: Subject, context: Context) -> None:
    await subject.abort(KEY, context["upload"])


async def _aborted_or_open(subject: Subject, context: Context) -> Outcome:
    assert await subject.get(KEY) == OLD
    try:
        await _commit(subject, context)
    except NoSuchUpload:
        assert await subject.get(KEY) == OLD
        return "new"
    assert await subject.get(KEY) == NEW + SMALL
    return "old"


async def _stage_again(subject: Subject, context: Context) -> None:
    await subject.stage(KEY, context["upload"], 1, OLD)


async def _staged_old_or_new(subject: Subject, context: Context) -> Outcome:
    """Whichever part is there, it can be committed."""
    second = context["etags"][1]
    try:
        await subject.commit(KEY, context["upload"], [Receipt(1, md5(NEW)), Receipt(2, second)])
    except InvalidPart:
        await subject.commit(KEY, context["upload"], [Receipt(1, md5(OLD)), Receipt(2, second)])
        assert await subject.get(KEY) == OLD + SMALL
        return "new"
    assert await subject.get(KEY) == NEW + SMALL
    return "old"


async def _delete_bucket(subject: Subject, context: Context) -> None:
    await subject.backend.delete_bucket(BUCKET)


async def _bucket_or_none(subject: Subject, context: Context) -> Outcome:
    """A bucket that is still there works."""
    try:
        await subject.backend.head_bucket(BUCKET)
    except NoSuchBucket:
        await subject.backend.create_bucket(BUCKET)
        await subject.put(KEY, OLD)
        return "new"
    await subject.put(KEY, OLD)
    assert await subject.get(KEY) == OLD
    return "old"


async def _emptied(subject: Subject) -> Context:
    context = await _staged(subject)
    await subject.delete(KEY)
    return context


Prepare = Callable[[Subject], Awaitable[Context]]
Change = Callable[[Subject, Context], Awaitable[object]]
Check = Callable[[Subject, Context], Awaitable[Outcome]]

SCENARIOS: dict[str, tuple[Prepare, Change, Check]] = {
    "put-small": (
        _nothing,
        lambda subject, _: subject.put(KEY, SMALL),
        lambda subject, _: _state(subject, None, SMALL),
    ),
    "put-large": (
        _nothing,
        lambda subject, _: subject.put(KEY, NEW),
        lambda subject, _: _state(subject, None, NEW),
    ),
    "put-that-must-be-new": (
        _nothing,
        lambda subject, _: subject.put(KEY, NEW, conditions=Conditions(if_none_match=("*",))),
        lambda subject, _: _state(subject, None, NEW),
    ),
    "overwrite": (
        _old_object,
        lambda subject, _: subject.put(KEY, NEW),
        lambda subject, _: _state(subject, OLD, NEW),
    ),
    "overwrite-of-parts": (
        _old_parts,
        lambda subject, _: subject.put(KEY, SMALL),
        lambda subject, _: _state(subject, OLD + SMALL, SMALL),
    ),
    "delete": (
        _old_object,
        lambda subject, _: subject.delete(KEY),
        lambda subject, _: _state(subject, OLD, None),
    ),
    "delete-of-parts": (
        _old_parts,
        lambda subject, _: subject.delete(KEY),
        lambda subject, _: _state(subject, OLD + SMALL, None),
    ),
    "copy": (
        _source,
        lambda subject, _: subject.copy("source", KEY),
        lambda subject, _: _state(subject, OLD, NEW),
    ),
    "commit": (_staged, _commit, _committed_or_open),
    "commit-then-overwrite": (_staged, _commit, _overwritten_after_commit),
    "commit-then-abort": (_staged, _commit, _aborted_after_commit),
    "abort": (_staged, _abort, _aborted_or_open),
    "stage-again": (_staged, _stage_again, _staged_old_or_new),
    "delete-bucket": (_emptied, _delete_bucket, _bucket_or_none),
}
"""By name: what there is before, the change that is interrupted, and what there may be afterwards."""
