"""Where a person's platforms and tokens are kept: one file that nobody else may read."""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

DEFAULT = "default"


class BadProfiles(Exception):
    """The file cannot be used. The text says why, and quotes no token."""


@dataclass(frozen=True, slots=True)
class Profile:
    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    organisation: str = ""
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Profiles:
    """All of the file: by name, and the one that is meant when none is named."""

    current: str = DEFAULT
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def with_(self, name: str, profile: Profile) -> "Profiles":
        return Profiles(name, {**self.by_name, name: profile})

    def without(self, name: str) -> "Profiles":
        return replace(self, by_name={one: profile for one, profile in self.by_name.items() if one != name})


def default_path(environment: Mapping[str, str]) -> Path:
    """XDG Base Directory Specification."""
    base = environment.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "bridge-node" / "ctl.json"


def read(path: Path) -> Profiles:
    """None when there is no file. Raises BadProfiles, also when somebody else could have read it, or owns it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise BadProfiles(f"{path}: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise BadProfiles(f"{path}: belongs to somebody else")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise BadProfiles(f"{path}: others may read the tokens in it: chmod 600 it, and have new ones made")
    try:
        told = json.loads(content)
        return Profiles(told["current"], {name: Profile(**values) for name, values in told["profiles"].items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadProfiles(f"{path}: is no file of profiles") from None


def write(path: Path, profiles: Profiles) -> None:
    """All of it, or nothing; mode 0600. Raises BadProfiles."""
    content = {"current": profiles.current, "profiles": {name: asdict(one) for name, one in profiles.by_name.items()}}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file, indent=2)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise BadProfiles(f"{path}: {error.strerror}") from error
