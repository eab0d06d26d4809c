"""Every setting with its default and its meaning, read from the models: as TOML to start from, and as tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bridge_node.configuration.explain import variable_name
from bridge_node.configuration.outline import ANY_ITEM, ANY_NAME, Setting, Shape, settings, shape_of
from bridge_node.configuration.problems import KeyPath, quoted
from bridge_node.settings import Section, Settings

_HEADING = """\
# Every setting of a bridge node with its default. `#` without a space marks examples: what has no default, and tables
# whose names are yours. `bridge-node check --config FILE` checks a file; `bridge-node config reference` prints this.
#
# Later wins: the defaults, this file, the *.toml files of conf.d/ beside it in the order of their names, environment
# variables BRIDGE_NODE__SECTION__KEY. Tables are merged key by key, lists are replaced whole. Sizes are bytes, times
# are seconds. Relative paths start at the directory of this file. A secret is text (then nobody else may read this
# file) or a reference: { file = "PATH" }, { env = "VARIABLE" }, or { name = "FILE" } for a file of that name in
# $CREDENTIALS_DIRECTORY or secrets_directory.

"""


def as_toml(section: type[Section] = Settings, heading: str = _HEADING) -> str:
    """A configuration file with every setting at its default; what has none, or takes names, is commented out."""
    return heading + "".join(_toml_table(section, "", example=False))


def _toml_table(section: type[Section], name: str, *, example: bool) -> Iterator[str]:
    """The plain settings of a table, then the tables within it."""
    shapes = {key: shape_of(field.annotation) for key, field in section.model_fields.items()}
    for key, field in section.model_fields.items():
        if not _is_table(shapes[key]):
            yield f"# {field.description}\n{_toml_value(key, field, example=example)}\n"
    for key, field in section.model_fields.items():
        if _is_table(shapes[key]):
            yield from _toml_inner(f"{name}.{key}".removeprefix("."), field, shapes[key], example=example)


def _toml_value(key: str, field: FieldInfo, *, example: bool) -> str:
    if field.is_required() or field.default is None:
        return f"#{key} = {toml((field.examples or [''])[0])}"
    return f"{'#' * example}{key} = {toml(field.default)}"


def _toml_inner(name: str, field: FieldInfo, shape: Shape, *, example: bool) -> Iterator[str]:
    section = _section(shape)
    if section is None:
        yield f"\n# {field.description}\n[{name}]\n"
        yield from (f"#{key} = {toml(value)}\n" for key, value in (field.examples or [{}])[0].items())
        return
    example = example or not field.default  # an empty table or list is shown by an example
    inner = f"{name}.{ANY_NAME}" if shape.kind == "table" else name
    header = f"[[{inner}]]" if shape.kind == "list" else f"[{inner}]"
    yield f"\n# {_first_line(section)}\n{'#' * example}{header}\n"
    yield from _toml_table(section, inner, example=example)


def _is_table(shape: Shape) -> bool:
    return shape.kind in {"section", "table"} or shape.of_sections


def _section(shape: Shape) -> type[Section] | None:
    """The section that a setting holds: itself, by name or in a list."""
    if shape.of_sections:
        shape = shape_of(shape.inner)
    return shape.inner if shape.kind == "section" else None


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").splitlines()[0]


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int() if value > 0xFFFF:
            return f"{value:_}"
        case int() | float():
            return str(value)
        case str() | Path() | SecretStr():
            return quoted(str(value))  # pydantic writes asterisks for a secret
        case Mapping():
            return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }" if value else "{}"
        case Sequence():
            return "[" + ", ".join(map(toml, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def as_tables() -> str:
    """Markdown: one table for each table of the configuration."""
    tables: dict[KeyPath, list[Setting]] = {}
    for setting in settings():
        tables.setdefault(setting.path[:-1], []).append(setting)
    return "\n".join(starmap(_markdown_table, tables.items()))


def _markdown_table(path: KeyPath, rows: Sequence[Setting]) -> str:
    name = ".".join(str(step) for step in path if step != ANY_ITEM)
    title = (f"`[[{name}]]`" if path[-1] == ANY_ITEM else f"`[{name}]`") if path else "At the top of the file"
    heading = "| setting | default | meaning | environment variable | taken up by |\n|---|---|---|---|---|"
    return "\n".join([f"## {title}", "", heading, *map(_markdown_row, rows), ""])


def _markdown_row(setting: Setting) -> str:
    cells = (
        f"`{setting.path[-1]}`",
        _markdown_default(setting),
        setting.field.description or "",
        _variable(setting),
        "restart" if setting.restart else "reload",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _markdown_default(setting: Setting) -> str:
    if setting.field.is_required():
        return "required"
    if setting.field.default is None:
        return "none"
    if setting.field.default and _section(setting.shape):
        return "one, with its defaults"
    return f"`{toml(setting.field.default)}`"


def _variable(setting: Setting) -> str:
    """Items of lists have none of their own: the list is given whole."""
    if ANY_ITEM in setting.path:
        return "within the list"
    return f"`{variable_name(setting.path)}`" + (" (JSON)" if setting.shape.kind != "value" else "")
