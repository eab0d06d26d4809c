"""What is wrong with a configuration: every problem at once, one line each, none with a secret in it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Where a value stands in the tree: `("gateway", "listeners", 0, "port")`."""


def dotted(path: KeyPath) -> str:
    """The path as people write it: `gateway.listeners[0].port`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in path)
    return text.removeprefix(".")


def _key(step: str) -> str:
    return step if re.fullmatch(r"[\w-]+", step) else quoted(step)


def quoted(text: str) -> str:
    """In double quotes and on one line, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """`origin` is a file, with line and column where they are known, or an environment variable."""

    origin: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, self.key, self.message) if part)


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` names everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
