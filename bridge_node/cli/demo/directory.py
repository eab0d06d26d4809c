"""The demo's directory: what lies where, who may be in it, and what is remembered of the last time."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOTS = ("demo", "sandbox")
"""Directories of objects: a bucket's, and a whole account's."""


class CannotPrepare(Exception):
    """The demo cannot be set up; the message says in one line why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What `demo.json` says: where things are and how to use them. A node alone has nothing of a platform."""

    s3_endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    region: str
    admin_access_key: str
    admin_secret_key: str
    node_admin_url: str
    platform_url: str = ""
    admin_token: str = ""
    org_id: str = ""
    workspace_id: str = ""
    repo_id: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """`path` is absolute."""

    path: Path

    @property
    def facts_file(self) -> Path:
        return self.path / "demo.json"

    @property
    def node_config(self) -> Path:
        return self.path / "node.toml"

    @property
    def node_state(self) -> Path:
        return self.path / "state"

    @property
    def organisation_key(self) -> Path:
        return self.path / "organisation.pem"

    @property
    def platform_config(self) -> Path:
        return self.path / "platform.toml"

    @property
    def platform_state(self) -> Path:
        return self.path / "platform"

    @property
    def repositories(self) -> Path:
        return self.path / "repositories.toml"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Raises CannotPrepare when the directory cannot be had, another demo runs there, or a file cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("w")
        except OSError as error:
            raise CannotPrepare(f"{error.filename}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotPrepare(f"another demo is running in {self.path}") from None
            yield

    def facts(self) -> Facts | None:
        """Those of the last time. Raises CannotPrepare when they cannot be read."""
        try:
            known = json.loads(self.facts_file.read_text())
            return Facts(**{name: str(value) for name, value in known.items() if name in Facts.__dataclass_fields__})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise CannotPrepare(f"{self.facts_file} cannot be read; remove it to start without it") from error

    def remember(self, facts: Facts) -> None:
        known = {name: value for name, value in asdict(facts).items() if value}
        self.write(self.facts_file, json.dumps(known, indent=2) + "\n")

    def write(self, file: Path, text: str) -> None:
        """Replaces `file` whole; only its owner may read it. Raises CannotPrepare."""
        new = file.with_name(f".{file.name}.new")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
                output.write(text)
            new.replace(file)
        except OSError as error:
            raise CannotPrepare(f"{file}: {error.strerror}") from error
