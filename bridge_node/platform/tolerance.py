"""What clients send that means something else: the tolerant reading of contract §0.3, in one place."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from bridge_node.platform.errors import BadRequest

LONGEST_LIST = 1000
HIGHEST_MASK = 0xFF
LONGEST_MASK = 10
_ABSENT = frozenset({"", "undefined", "null"})
_STORAGE_TYPES = {"AZURE": "BLOB"}
_MODES = {"BACKUP": "MIRROR"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def given(value: str | None) -> str | None:
    """A query parameter, or None for what JavaScript makes of one that is not there."""
    return None if value is None or value.strip() in _ABSENT else value.strip()


def listed(values: Iterable[str] | None) -> list[str] | None:
    """A list written with commas, by repetition, or both; None when nothing is in it. Raises BadRequest."""
    parts = [given(part) for value in values or () for part in value.split(",")]
    if len(parts) > LONGEST_LIST:
        raise BadRequest(f"A list holds at most {LONGEST_LIST} values")
    return list(dict.fromkeys(part for part in parts if part is not None)) or None


def mask(name: str, text: str | None) -> int:
    """A mask of flags in decimal; 0 where there is none. Raises BadRequest for anything else, by its name."""
    if text is None:
        return 0
    if not text.isdecimal() or not text.isascii() or len(text) > LONGEST_MASK or int(text) > HIGHEST_MASK:
        raise BadRequest(f"{name}: not a mask of flags")
    return int(text)


def storage_type(value: str) -> str:
    """`AZURE` is an older name of `BLOB`."""
    upper = value.upper()
    return _STORAGE_TYPES.get(upper, upper)


def mode(value: str) -> str:
    """`BACKUP` is an older name of `MIRROR`."""
    upper = value.upper()
    return _MODES.get(upper, upper)


def instant(text: str) -> datetime:
    """An ISO 8601 date or date-time; UTC where it does not say. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_day(text: str) -> bool:
    """Whether a date came without a time of day: it then means all of the day."""
    return _DAY.fullmatch(text) is not None


def iso(milliseconds: int) -> str:
    """How times are written: ISO 8601 in UTC with milliseconds and `Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
