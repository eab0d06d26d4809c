"""pydantic's findings in the words of somebody who edits a configuration file."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic_core import ErrorDetails

from bridge_node.configuration.layers import Layer, nearest_origin
from bridge_node.configuration.outline import Shape, shape_at, suggestion
from bridge_node.configuration.problems import KeyPath, Problem, dotted, quoted
from bridge_node.configuration.program import NODE, Program

_PLAIN = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "missing": "is missing",
    "model_type": "must be a table",
    "path_type": "must be a path in quotes",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}


def explained(error: ErrorDetails, layers: Sequence[Layer], program: Program[Any] = NODE) -> Problem:
    """The problem that one of pydantic's errors stands for."""
    path: KeyPath = error["loc"]
    origin = nearest_origin(layers, path)
    if error["type"] == "extra_forbidden":
        from_variable = program.prefix != "" and origin.startswith(program.prefix)
        by_variable = from_variable and not any(isinstance(step, int) for step in path)
        return Problem(origin, dotted(path), _unknown(path, program, as_variable=by_variable))
    shape = shape_at(path, program.root)
    return Problem(origin, dotted(path), _requirement(error, shape) + _shown(error, shape))


def _unknown(path: KeyPath, program: Program[Any], *, as_variable: bool) -> str:
    meant = suggestion(path, program.root)
    if meant is None:
        return "unknown key"
    if as_variable:
        return f"unknown key; did you mean {variable_name(meant, program)}?"
    return f"unknown key; did you mean {meant[-1] if meant[:-1] == path[:-1] else dotted(meant)}?"


def variable_name(path: KeyPath, program: Program[Any] = NODE) -> str:
    """The environment variable of a setting."""
    return program.prefix + "__".join(str(step).upper() for step in path)


def _requirement(error: ErrorDetails, shape: Shape | None) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"must be {_choice(shape)}"
    plain = _PLAIN.get(error["type"])
    return plain.format(**context) if plain else error["msg"]


def _choice(shape: Shape | None) -> str:
    *most, last = map(quoted, get_args(shape.inner if shape else None))
    return f"{', '.join(most)} or {last}" if most else last


def _shown(error: ErrorDetails, shape: Shape | None) -> str:
    """The refused value, where showing it cannot show a secret."""
    value = error["input"]
    if shape is None or shape.secret or shape.kind != "value" or not isinstance(value, str | int | float):
        return ""
    if error["type"] in {"value_error", "missing", "string_too_short", "string_too_long"}:
        return ""
    text = str(value).lower() if isinstance(value, bool) else quoted(value) if isinstance(value, str) else str(value)
    close = get_close_matches(str(value).lower(), map(str, get_args(shape.inner)), n=1)
    return f", not {text}; did you mean {quoted(close[0])}?" if close else f", not {text}"
