"""The settings in force, one by one, with where each came from; never a secret."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bridge_node.configuration.loading import Configuration
from bridge_node.configuration.outline import ROOT, Shape
from bridge_node.configuration.problems import KeyPath, dotted
from bridge_node.configuration.reference import toml

DEFAULT = "default"


class Value(NamedTuple):
    """`value` as TOML writes it; a secret is asterisks, or the reference that it was given by."""

    key: str
    value: str
    origin: str


def effective(configuration: Configuration) -> Iterator[Value]:
    """Every setting, in the order of the models."""
    for path, value, shape in _leaves(configuration.settings, ROOT, ()):
        written = configuration.written(path) if shape.secret else None
        shown = written if isinstance(written, Mapping) else value
        yield Value(dotted(path), "none" if shown is None else toml(shown), configuration.origin(path) or DEFAULT)


def _leaves(value: Any, shape: Shape, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Shape]]:
    inner = list(_inner(value, shape))
    if not inner:
        yield path, value, shape
    for step, deeper in inner:
        further = shape.at(step)
        if further:
            yield from _leaves(deeper, further, (*path, step))


def _inner(value: Any, shape: Shape) -> Iterator[tuple[str | int, Any]]:
    """What is shown line by line: sections, tables by name, lists of sections. Other lists are one value."""
    if shape.kind == "section":
        yield from ((name, getattr(value, name)) for name in shape.names)
    elif shape.kind == "table":
        yield from value.items()
    elif shape.kind == "list" and value and shape.of_sections:
        yield from enumerate(value)
