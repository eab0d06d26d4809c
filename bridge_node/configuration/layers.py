"""Where settings come from. Each layer is a pydantic-settings source that also remembers what came from where."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge_node.configuration.outline import Shape
from bridge_node.configuration.problems import KeyPath, Problem, dotted
from bridge_node.configuration.program import Program

Tree = dict[str, Any]


class Layer(PydanticBaseSettingsSource):
    """The values of one source. `problems`: what could not be read of it at all."""

    def __init__(self) -> None:
        super().__init__(BaseSettings)
        self.values: Tree = {}
        self.problems: list[Problem] = []

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.values.get(field_name), field_name, False

    def __call__(self) -> Tree:
        return self.values

    def written(self, path: KeyPath) -> Any:
        """The value at `path` as this layer gives it. Raises LookupError when it gives none."""
        value: Any = self.values
        for step in path:
            try:
                value = value[step]
            except TypeError as error:
                raise LookupError(path) from error
        return value

    def holds(self, path: KeyPath) -> bool:
        try:
            self.written(path)
        except LookupError:
            return False
        return True

    def origin(self, path: KeyPath) -> str:
        """The file or variable that this layer has the value at `path` from."""
        raise NotImplementedError


class FileLayer(Layer):
    """One TOML file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            self.values = tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            self._refuse(f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self._refuse(f"is not UTF-8 text (byte {error.start})")
        except tomllib.TOMLDecodeError as error:
            self._refuse(f"invalid TOML: {str(error)[:1].lower()}{str(error)[1:]}")

    def _refuse(self, message: str) -> None:
        """tomllib says where only within its message: moved to the front, as editors read it."""
        place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        where = f"{self.path}:{place[1]}:{place[2]}" if place else str(self.path)
        self.problems.append(Problem(where, "", message[: place.start()] if place else message))

    def origin(self, path: KeyPath) -> str:
        return str(self.path)


class EnvironmentLayer(Layer):
    """Variables such as `BRIDGE_NODE__GATEWAY__WORKERS`. Lists and tables are JSON.

    Kubernetes injects `BRIDGE_NODE_PORT` and the like for a Service of that name, hence two underscores; those with
    one are none of ours. `known` are the values of the files: a name that an operator chose there is found whatever
    its case, and `-` may be written `_`.
    """

    def __init__(self, environment: Mapping[str, str], known: Tree, program: Program[Any]) -> None:
        super().__init__()
        self._known = known
        self._root = program.root
        self._variables: dict[KeyPath, str] = {}
        for alias, usual in program.aliases.items():
            if alias in environment:
                self._take(alias, usual, environment[alias])
        # Shorter names first: the more exact variable adds to the JSON of the wider one.
        ours = (name for name in environment if name.startswith(program.prefix))
        for variable in sorted(ours, key=lambda name: name.count("__")):
            self._take(variable, variable.removeprefix(program.prefix), environment[variable])

    def _take(self, variable: str, name: str, text: str) -> None:
        path, shape = self._locate(name.split("__"))
        try:
            value = _parsed(text, shape)
        except ValueError:
            why = "as it begins with {" if shape and shape.secret else "as it is a list or a table"
            self.problems.append(Problem(variable, dotted(path), f"must be JSON, {why}"))
            return
        tree = self.values
        for step in path[:-1]:
            deeper = tree.setdefault(step, {})
            if not isinstance(deeper, dict):
                self.problems.append(Problem(variable, dotted(path), f"`{step}` is set as a whole by another variable"))
                return
            tree = deeper
        tree[path[-1]] = value
        self._variables[path] = variable

    def _locate(self, words: Sequence[str]) -> tuple[tuple[str, ...], Shape | None]:
        shape: Shape | None = self._root
        known: Any = self._known
        path: list[str] = []
        for word in words:
            name = word.lower()
            if shape and shape.kind == "table" and isinstance(known, dict):
                name = next((key for key in known if key.lower().replace("-", "_") == name.replace("-", "_")), name)
            known = known.get(name) if isinstance(known, dict) else None
            shape = shape.at(name) if shape else None
            path.append(name)
        return tuple(path), shape

    def origin(self, path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if variable := self._variables.get(path[:length]):
                return variable
        within = (variable for place, variable in self._variables.items() if place[: len(path)] == path)
        return next(within, "environment")


def _parsed(text: str, shape: Shape | None) -> Any:
    if shape is None:
        return text
    if shape.optional and not text:
        return None
    if shape.kind != "value" or (shape.secret and text.startswith("{")):
        return json.loads(text)
    return text


def merged(layers: Sequence[Layer]) -> Tree:
    """What the layers say together. The first one wins; tables are merged key by key, lists are replaced whole."""

    class Merged(BaseSettings):
        model_config = SettingsConfigDict(extra="allow")

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *usual: object, **more_usual: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(layers)

    return dict(Merged().model_extra or {})


def origin(layers: Sequence[Layer], path: KeyPath) -> str | None:
    """Where the value at `path` is from; None for a default."""
    return next((layer.origin(path) for layer in layers if layer.holds(path)), None)


def nearest_origin(layers: Sequence[Layer], path: KeyPath) -> str:
    """Where somebody would look who wants to change `path`: its origin, or that of the list or table around it.

    A list is from one layer. Of a table that several layers add to, it is the first that began it: a file, mostly.
    """
    if exact := origin(layers, path):
        return exact
    for length in range(len(path) - 1, 0, -1):
        place = path[:length]
        in_a_list = any(isinstance(step, int) for step in place)
        holding = (layer for layer in (layers if in_a_list else reversed(layers)) if layer.holds(place))
        if layer := next(holding, None):
            return layer.origin(place)
    return layers[-1].origin(())
