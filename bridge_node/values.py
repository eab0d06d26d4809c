"""How the plain values are made that every request needs several of."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """A frozen dataclass with slots, whose being frozen is left to the type checker.

    To it, this is `@dataclass(frozen=True, slots=True)`. At run time the guard against assignments would cost more than
    everything else together: 1.6 µs for an ObjectInfo instead of 0.3.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
