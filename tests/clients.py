"""Clients that nobody here wrote, in a virtual environment of their own.

Their newest versions cannot share one with the package: aioboto3 pins an old boto3. The environment is built once per
machine and list of requirements, in the user's cache directory, or where `BRIDGE_NODE_TEST_CLIENTS` says.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("awscli", "boto3>=1.40", "minio>=7.2", "pyarrow>=20", "s3cmd>=2.4")
BUILD_SECONDS = 600


def environment() -> Path:
    """The directory of a virtual environment with every client; built when it is not there yet."""
    chosen = os.environ.get("BRIDGE_NODE_TEST_CLIENTS")
    if chosen:
        return Path(chosen)
    recipe = "\n".join((*REQUIREMENTS, sys.version)).encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bridge-node-tests"
    directory = cache / f"clients-{hashlib.sha256(recipe).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        if not (directory / "complete").exists():
            _build(directory)
    return directory


def _build(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    python = str(directory / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for command in ([sys.executable, "-m", "venv", str(directory)], [*pip, *REQUIREMENTS]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"the client environment cannot be built: {done.stderr[-4000:]}")
    (directory / "complete").touch()
