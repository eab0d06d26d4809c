"""Whose configuration it is: node and platform read theirs in the same way."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic

from bridge_node.configuration.checks import Finding, check
from bridge_node.configuration.outline import Shape
from bridge_node.settings import AnySection, Settings


@dataclass(frozen=True, slots=True)
class Program(Generic[AnySection]):
    """`check` finds what types alone cannot say."""

    settings: type[AnySection]
    prefix: str
    """How its environment variables begin; a program without one takes everything from a single file."""
    check: Callable[[AnySection], Iterable[Finding]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Variables of other names, each with what stands behind the prefix in the usual one, which wins."""

    @property
    def root(self) -> Shape:
        return Shape("section", self.settings)


NODE = Program(Settings, "BRIDGE_NODE__", check)
