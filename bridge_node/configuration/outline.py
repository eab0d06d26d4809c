"""The shape of the settings tree, read from its types: what stands at a path, and what could have been meant."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bridge_node.configuration.problems import KeyPath
from bridge_node.settings import NeedsRestart, Section, Settings

ANY_NAME = "NAME"
"""Stands for a name that the operator chooses, in the path of a `Setting`."""
ANY_ITEM = 0
"""Stands for every index of a list, in the path of a `Setting`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a place in the tree holds. `inner`: the section's class, the type of items, or the type of the value."""

    kind: Literal["section", "table", "list", "value"]
    inner: Any
    optional: bool = False

    @property
    def secret(self) -> bool:
        return self.inner is SecretStr

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that a section knows."""
        return tuple(self.inner.model_fields) if self.kind == "section" else ()

    @property
    def of_sections(self) -> bool:
        """Whether it is a table or list whose values are sections."""
        return self.kind in {"table", "list"} and shape_of(self.inner).kind == "section"

    def at(self, step: str | int) -> "Shape | None":
        """What stands one step further in; None where nothing may stand."""
        if self.kind == "section":
            field: FieldInfo | None = self.inner.model_fields.get(step)
            return None if field is None else shape_of(field.annotation)
        return None if self.kind == "value" else shape_of(self.inner)


def shape_of(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0])
    if origin in {Union, UnionType}:
        inner = shape_of(next(argument for argument in arguments if argument is not NoneType))
        return Shape(inner.kind, inner.inner, optional=True)
    if origin is dict:
        return Shape("table", arguments[1])
    if origin is tuple:
        return Shape("list", arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Shape("section", annotation)
    return Shape("value", annotation)


ROOT = Shape("section", Settings)


def shape_at(path: KeyPath, root: Shape = ROOT) -> Shape | None:
    """What may stand at `path`; None for a place that does not exist."""
    shape: Shape | None = root
    for step in path:
        shape = shape.at(step) if shape else None
    return shape


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the tree, for the documentation. Named tables and lists stand once, as `NAME` and `[0]`."""

    path: KeyPath
    field: FieldInfo
    shape: Shape
    restart: bool


def settings(root: Shape = ROOT) -> Iterator[Setting]:
    """Every setting, in the order of the models."""
    return _settings(root, (), restart=False)


def _settings(section: Shape, path: KeyPath, *, restart: bool) -> Iterator[Setting]:
    for name, field in section.inner.model_fields.items():
        shape = shape_of(field.annotation)
        marked = restart or any(isinstance(mark, NeedsRestart) for mark in field.metadata)
        here = (*path, name)
        if shape.kind != "section":
            yield Setting(here, field, shape, marked)
        inner = shape if shape.kind == "section" else shape.at(ANY_ITEM)
        if inner and inner.kind == "section":
            further: dict[str, KeyPath] = {"section": (), "table": (ANY_NAME,), "list": (ANY_ITEM,)}
            yield from _settings(inner, here + further[shape.kind], restart=marked)


def suggestion(path: KeyPath, root: Shape = ROOT) -> KeyPath | None:
    """The known place that a reader most likely meant by the unknown `path`."""
    parent, name = shape_at(path[:-1], root), str(path[-1])
    if parent is None:
        return None
    if close := get_close_matches(name.replace("-", "_").lower(), parent.names, n=1):
        return (*path[:-1], close[0])
    elsewhere = (
        setting.path for setting in settings(root) if setting.path[-1] == name and ANY_NAME not in setting.path
    )
    return next(elsewhere, None)
