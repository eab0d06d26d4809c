"""What a repository may be made of: the rules behind each `error_code` (contract §2), for whoever makes one.

Pure: what is attached, or would be, goes in; the first rule that it breaks comes out.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bridge_node.platform.store.attachments import Attachment
from bridge_node.platform.store.buckets import Bucket


class Code(StrEnum):
    """The contract's words."""

    NOT_FOUND = "NOT_FOUND"
    NAME_ALREADY_USED = "NAME_ALREADY_USED"
    MASTER_COUNT = "MIRROR_MASTER_UNIT_COUNT_INVALID"
    MASTER_MISSING = "MIRROR_MASTER_UNIT_MISSING"
    IN_OTHER_REPOSITORY = "MIRROR_UNIT_ALREADY_IN_OTHER_REPO"
    FOLDER_USED = "NORMAL_UNIT_FOLDER_ALREADY_USED"
    CANNOT_DELETE = "NORMAL_UNIT_FOLDER_CANNOT_DELETE"
    CANNOT_EDIT_FOLDER = "NORMAL_UNIT_CANNOT_EDIT_FOLDER"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold. `code` is empty where the contract has no word for it."""

    code: Code | None
    message: str


def breach(mode: str, attached: Sequence[Attachment], elsewhere: Mapping[str, Collection[str]]) -> Breach | None:
    """The first rule that a repository of these attachments breaks.

    `elsewhere`: the modes of the other repositories that a bucket is in, by the bucket's id.
    """
    return next(_breaches(mode, attached, elsewhere), None)


def breach_by_change(
    mode: str, attached: Sequence[Attachment], new_mode: str, wanted: Sequence[Attachment]
) -> Breach | None:
    """The first rule that is broken by making `wanted` of what is attached."""
    return next(_breaches_by_change(mode, attached, new_mode, wanted), None)


def _breaches(mode: str, attached: Sequence[Attachment], elsewhere: Mapping[str, Collection[str]]) -> Iterator[Breach]:
    yield from _mirror(attached) if mode == "MIRROR" else _names(attached)
    for one in attached:
        modes = elsewhere.get(one.target.id, ())
        if "MIRROR" in modes or (mode == "MIRROR" and modes):
            why = f"bucket {_label(one)} is in another repository: a mirror shares none"
            yield Breach(Code.IN_OTHER_REPOSITORY, why)


def _mirror(attached: Sequence[Attachment]) -> Iterator[Breach]:
    if not attached:
        yield Breach(Code.MASTER_MISSING, "a mirror needs a master bucket")
    if len({one.target.id for one in attached}) < len(attached):
        yield Breach(None, "a bucket is listed twice")
    if not all(isinstance(one.target, Bucket) for one in attached):
        yield Breach(None, "a whole account cannot be part of a mirror")
    if sum(one.master for one in attached) != 1:
        yield Breach(Code.MASTER_COUNT, "exactly one master bucket is needed")


def _names(attached: Sequence[Attachment]) -> Iterator[Breach]:
    """Every name leads to one bucket (contract §9.2). Of a container, clients also know the account."""
    accounts = [one.target.id for one in attached if not isinstance(one.target, Bucket)]
    if len(set(accounts)) < len(accounts):
        yield Breach(None, "an account is listed twice")
    called = Counter(name for one in attached for name in {_bucket(one), folder(one.folder)} - {""})
    for name, count in called.items():
        if count > 1:
            yield Breach(Code.FOLDER_USED, f'"{name}" would be the name of {count} buckets')
    storage_accounts = {one.credentials.key for one in attached if _type(one) == "BLOB"}
    for one in attached:
        if _type(one) != "BLOB" and _bucket(one) in storage_accounts:
            yield Breach(Code.FOLDER_USED, f'"{_bucket(one)}" would be the name of a bucket and of an Azure account')


def _breaches_by_change(
    mode: str, attached: Sequence[Attachment], new_mode: str, wanted: Sequence[Attachment]
) -> Iterator[Breach]:
    """Clients know a NORMAL repository's buckets by name: names stay. A mirror's master hands over before it goes."""
    kept = {one.target.id: one for one in wanted}
    for one in attached:
        if mode == "MIRROR":
            if one.master and new_mode == "MIRROR" and one.target.id not in kept:
                yield Breach(Code.MASTER_MISSING, f"the master {_label(one)} is not listed any more")
        elif isinstance(one.target, Bucket):
            if one.target.id not in kept:
                yield Breach(Code.CANNOT_DELETE, f"bucket {_label(one)} is attached and must stay")
            elif folder(kept[one.target.id].folder) != folder(one.folder):
                yield Breach(Code.CANNOT_EDIT_FOLDER, f"the folder of bucket {_label(one)} is fixed")


def folder(text: str) -> str:
    """A folder as clients write it: `/name` and `name` are the same."""
    return text.removeprefix("/")


def _bucket(one: Attachment) -> str:
    return one.target.bucket if isinstance(one.target, Bucket) else ""


def _type(one: Attachment) -> str:
    return one.target.storage_type if isinstance(one.target, Bucket) else ""


def _label(one: Attachment) -> str:
    return f'"{one.target.name}"' if isinstance(one.target, Bucket) else f'"{one.target.description or one.target.id}"'
