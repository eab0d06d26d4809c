"""Which bytes of an object a read is about: what backends that store bytes themselves share about reading."""

from collections.abc import Sequence

from bridge_node.errors import InvalidRange, NoSuchVersion, PreconditionFailed
from bridge_node.objects import ObjectInfo
from bridge_node.operations import GetObject, HeadObject


def check_version(version_id: str | None) -> None:
    """Raises NoSuchVersion for any but `null`, the only version where there are no versions."""
    if version_id is not None and version_id != "null":
        raise NoSuchVersion


def check_read(op: GetObject | HeadObject, info: ObjectInfo) -> None:
    """Raises PreconditionFailed or NotModified where `op` does not want this object."""
    if isinstance(op, GetObject) and op.pin is not None and op.pin != info.pin:
        raise PreconditionFailed(reason="pin_changed")
    if op.conditions:
        op.conditions.check_read(info)


def select(op: GetObject | HeadObject, size: int, part_sizes: Sequence[int]) -> tuple[int, int, bool]:
    """Start, stop (exclusive), and whether this is a part of the object; raises InvalidRange.

    `part_sizes` are those of an object that was uploaded in parts, in order; any other object is its own part 1.
    """
    if op.range is not None:
        return *op.range.resolve(size), True
    if op.part is None:
        return 0, size, False
    sizes = part_sizes or (size,)
    if op.part > len(sizes):
        raise InvalidRange(size)
    start = sum(sizes[: op.part - 1])
    return start, start + sizes[op.part - 1], size > 0
