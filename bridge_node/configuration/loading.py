"""From files and variables to one checked `Settings`, or to every problem at once.

Later wins: defaults, the configuration file, the `*.toml` files of `conf.d/` beside it in the order of their names,
environment variables `BRIDGE_NODE__SECTION__KEY`. Tables are merged key by key, lists are replaced whole. Secrets may
be references wherever they are written.
"""

import copy
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge_node.configuration.explain import explained
from bridge_node.configuration.layers import EnvironmentLayer, FileLayer, Layer, Tree, merged, nearest_origin, origin
from bridge_node.configuration.lookup import SecretLookup, exposure
from bridge_node.configuration.outline import ROOT, Shape, shape_at
from bridge_node.configuration.problems import ConfigurationError, KeyPath, Problem, dotted
from bridge_node.configuration.program import NODE, Program
from bridge_node.settings import AnySection, Settings, Surroundings, keep_until_restart, restart_needed

MENDINGS = 8
"""Rounds in which what is wrong is mended: a stand-in for a table may itself lack something."""


@dataclass(frozen=True)
class Configuration:
    """Checked settings, and where each of them comes from. Secrets are looked up already."""

    settings: Settings
    layers: Sequence[Layer]

    def origin(self, path: KeyPath) -> str | None:
        """The file or variable that a value comes from; None for a default."""
        return origin(self.layers, path)

    def written(self, path: KeyPath) -> Any:
        """The value as it was written, a reference where it is one; None for a default."""
        return next((layer.written(path) for layer in self.layers if layer.holds(path)), None)


def load(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Reads everything that makes up the configuration, and checks it.

    Raises ConfigurationError with all problems. Changes nothing, opens no port, reaches no backend.
    """
    return Configuration(*_checked(NODE, path, environment))


def load_settings(program: Program[AnySection], path: Path, environment: Mapping[str, str]) -> AnySection:
    """The settings of any program, read in the same way. Raises ConfigurationError with all problems."""
    return _checked(program, path, environment)[0]


def _checked(
    program: Program[AnySection], path: Path, environment: Mapping[str, str]
) -> tuple[AnySection, Sequence[Layer]]:
    layers = _layers(program, path, environment)
    if unreadable := [problem for layer in reversed(layers) for problem in layer.problems]:
        raise ConfigurationError(unreadable)  # anything else would be a consequence of what is not there
    values = merged(layers)
    surroundings = _surroundings(path, environment, values)
    settings, errors = _validated(program, values, surroundings)
    problems = [explained(error, layers, program) for error in errors]
    problems += _exposed_files(layers, program.root)
    refused = [error["loc"] for error in errors if error["type"] != "extra_forbidden"]
    problems += _contradictions(program, settings, layers, refused)
    if problems:
        raise ConfigurationError(_in_reading_order(problems, layers))
    return settings, layers


def reload(path: Path, environment: Mapping[str, str], running: Settings) -> tuple[Settings, list[str]]:
    """Reads everything again for a node that runs with `running`: the settings to take up now.

    Those that need a restart keep their value; the changed ones among them are named. Raises ConfigurationError, also
    when what is kept and what is new cannot be used together.
    """
    read = load(path, environment)
    waiting = restart_needed(running, read.settings)
    settings = keep_until_restart(running, read.settings)
    if problems := list(_contradictions(NODE, settings, read.layers)):
        kept = Problem("", "", f"until a restart, these keep their values: {', '.join(waiting)}")
        raise ConfigurationError([*problems, kept])
    return settings, waiting


def _contradictions(
    program: Program[AnySection], settings: AnySection, layers: Sequence[Layer], refused: Sequence[KeyPath] = ()
) -> Iterator[Problem]:
    """What the checks find, but for what only follows from the `refused` places."""
    for finding in program.check(settings):
        if not any(_follows(finding.path, place) for place in refused):
            yield Problem(nearest_origin(layers, finding.path), dotted(finding.path), finding.message)


def _layers(program: Program[AnySection], path: Path, environment: Mapping[str, str]) -> list[Layer]:
    """Strongest first."""
    if not program.prefix:
        return [FileLayer(path)]
    files: list[Layer] = [FileLayer(file) for file in (path, *_files_of(path.parent / "conf.d"))]
    files.reverse()
    return [EnvironmentLayer(environment, merged(files), program), *files]


def _files_of(directory: Path) -> list[Path]:
    try:
        return sorted(file for file in directory.iterdir() if file.match("[!.]*.toml"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigurationError([Problem(str(directory), "", f"cannot be read: {error.strerror}")]) from error


def _surroundings(path: Path, environment: Mapping[str, str], values: Tree) -> Surroundings:
    base = path.absolute().parent
    places = (environment.get("CREDENTIALS_DIRECTORY"), values.get("secrets_directory"))
    directories = [base / place for place in places if isinstance(place, str) and place]
    return Surroundings(base, SecretLookup(environment, base, directories))


def _validated(
    program: Program[AnySection], values: Tree, surroundings: Surroundings
) -> tuple[AnySection, list[ErrorDetails]]:
    """The settings and what is wrong with them.

    What is wrong is mended by a default or a stand-in, so that the rest can still be checked: all problems are named
    at once.
    """
    found: list[ErrorDetails] = []
    mended = copy.deepcopy(values)
    for _ in range(MENDINGS):
        try:
            return program.settings.model_validate(mended, context=surroundings), found
        except ValidationError as refusal:
            errors = refusal.errors(include_url=False)
        for error in errors:
            if not any(_within(error["loc"], known["loc"]) for known in found):
                found.append(error)
            _mend(mended, error["loc"], program.root)
    return program.settings(), found


def _mend(values: Tree, path: KeyPath, root: Shape) -> None:
    *around, last = path
    place: Any = values
    for step in around:
        place = place[step]
    shape = shape_at(path, root)
    if shape is None or _has_default(path, root):
        del place[last]
    else:
        place[last] = _stand_in(shape)


def _has_default(path: KeyPath, root: Shape) -> bool:
    around = shape_at(path[:-1], root) or root
    return around.kind == "section" and not around.inner.model_fields[path[-1]].is_required()


def _stand_in(shape: Shape) -> Any:
    if shape.kind != "value":
        return [] if shape.kind == "list" else {}
    return secrets.token_hex() if shape.secret else next(iter(get_args(shape.inner)), "?")


def _in_reading_order(problems: Sequence[Problem], layers: Sequence[Layer]) -> list[Problem]:
    """Source by source: the file, then `conf.d`, then variables."""
    files = [layer for layer in reversed(layers) if isinstance(layer, FileLayer)]
    order = {str(layer.path): place for place, layer in enumerate(files)}
    return sorted(problems, key=lambda problem: order.get(problem.origin, len(order)))


def _within(path: KeyPath, outer: KeyPath) -> bool:
    return path[: len(outer)] == outer


def _follows(path: KeyPath, refused: KeyPath) -> bool:
    """Whether a finding at `path` may be a mere consequence of the stand-in at `refused`."""
    return path == refused[:-1] or _within(path, refused[:-1] if refused[-1] == "kind" else refused)


def _exposed_files(layers: Sequence[Layer], root: Shape) -> Iterator[Problem]:
    for layer in layers:
        if not isinstance(layer, FileLayer):
            continue
        place = next(inline_secrets(layer.values, root), None)
        if place and (complaint := exposure(layer.path)):
            yield Problem(str(layer.path), dotted(place), f"is a secret, and the file {complaint}")


def inline_secrets(values: Any, shape: Shape | None = ROOT, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where secrets themselves, not references to them, are written in a layer."""
    if shape is None:
        return
    if shape.secret and isinstance(values, str) and values:
        yield path
    elif isinstance(values, dict) and not shape.secret:
        for step, value in values.items():
            yield from inline_secrets(value, shape.at(step), (*path, step))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from inline_secrets(value, shape.at(index), (*path, index))
