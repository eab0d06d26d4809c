"""Clients that nobody here wrote, in a virtual environment of their own.

Their newest versions cannot share one with the package: aioboto3 pins an old boto3. The environment is built once per
machine and list of requirements, or `BRIDGE_NODE_TEST_CLIENTS` says where it is.
"""

import os
import sys
from pathlib import Path

from tests.cache import built, run

REQUIREMENTS = ("awscli", "boto3>=1.40", "minio>=7.2", "pyarrow>=20", "s3cmd>=2.4")


def environment() -> Path:
    """The directory of a virtual environment with every client; built when it is not there yet."""
    chosen = os.environ.get("BRIDGE_NODE_TEST_CLIENTS")
    return Path(chosen) if chosen else built("clients", (*REQUIREMENTS, sys.version), _build)


def _build(directory: Path) -> None:
    run([sys.executable, "-m", "venv", directory])
    python = directory / "bin" / "python"
    run([python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *REQUIREMENTS])
