"""What takes long to build and is the same for every run: built once per machine, in the user's cache directory."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BUILD_SECONDS = 600


def built(name: str, recipe: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The directory that `build` has filled for this very recipe, now or in an earlier run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bridge-node-tests"
    directory = cache / f"{name}-{hashlib.sha256(chr(10).join(recipe).encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            build(directory)
            (directory / "complete").touch()
    return directory


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Raises RuntimeError with the end of what it printed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout)[-4000:]}")
