"""Secrets by reference: looked up, and refused when others can read them (promise 21)."""

import contextlib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge_node.configuration.problems import quoted
from bridge_node.settings import SecretReference

MAX_SECRET_BYTES = 64 * 1024


class SecretLookup:
    """Finds what references mean. `directories` are searched in order for {name = …}."""

    def __init__(self, environment: Mapping[str, str], base: Path, directories: Sequence[Path]) -> None:
        self._environment = environment
        self._base = base
        self._directories = directories

    def __call__(self, reference: SecretReference) -> str:
        """The secret. Raises ValueError with the reason."""
        if reference.kind == "env":
            return self._variable(reference.value)
        path = self._base / reference.value
        try:
            return _read(self._find(reference.value) if reference.kind == "name" else path)
        except OSError as error:
            raise ValueError(f"{error.filename or path} cannot be read: {error.strerror}") from error

    def _variable(self, name: str) -> str:
        if not self._environment.get(name):
            raise ValueError(f"environment variable {name} is not set or empty")
        return self._environment[name]

    def _find(self, name: str) -> Path:
        if name != Path(name).name:
            raise ValueError(f"{quoted(name)} is no plain file name: use {{file = …}} for a path")
        if not self._directories:
            raise ValueError(f"no place to look for {quoted(name)}: set secrets_directory, or $CREDENTIALS_DIRECTORY")
        for directory in self._directories:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (directory / name).stat()
                return directory / name
        raise ValueError(
            f"no file {quoted(name)} in {' or '.join(map(str, self._directories))}"
        ) from FileNotFoundError(name)


def _read(path: Path) -> str:
    """The file's text without its last line feed."""
    if path.stat().st_size > MAX_SECRET_BYTES:
        raise ValueError(f"{path} is too large for a secret")
    data = path.read_bytes()
    if complaint := exposure(path):
        raise ValueError(f"{path} {complaint}")
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def exposure(path: Path) -> str | None:
    """Why a file with secrets is refused, or None when only its owner and group can read it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & (stat.S_IROTH | stat.S_IWOTH):
        return None
    return f"is open to every user (mode {mode:04o}): chmod o-rw {path}, or in Kubernetes set defaultMode: 0440"
