"""What every client does to the node: `python -m tests.acceptance.clients.scenario NAME` in the clients' environment.

`with_NAME.py` beside this file has a class `Client`, and `CANNOT` for the steps that it has no command for. What to
talk to is in the environment (see `target.py`). Each step that went well prints one line; the first one that does not
ends the run with its traceback.
"""

import hashlib
import importlib
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.acceptance.clients.target import Target

BODY = bytes(range(256)) * 41 + b"\r\n end \x00"
"""A little more than 10 KiB in which every byte occurs."""
KEY = "folder one/+ü & 100%.bin"
"""A key that a client, a gateway or a signature gets wrong when it encodes carelessly."""


def put_and_get(client: Any, target: Target) -> None:
    client.put(KEY, BODY)
    assert client.get(KEY) == BODY


def ranged_get(client: Any, target: Target) -> None:
    assert client.get_range(KEY, 1000) == BODY[1000:]


def list_many(client: Any, target: Target) -> None:
    assert client.keys(target.listed_bucket) == [f"listed/{number:04}" for number in range(target.listed_keys)]


def multipart(client: Any, target: Target) -> None:
    client.upload("large", target.large_file)
    received = target.scratch / "received"
    client.download("large", received)
    assert _digest(received) == _digest(target.large_file)
    received.unlink()


def copy(client: Any, target: Target) -> None:
    client.copy(KEY, "copied/to here")
    assert client.get("copied/to here") == BODY


def delete(client: Any, target: Target) -> None:
    client.delete("copied/to here")
    assert client.keys(target.bucket) == [KEY, "large"]


def presigned_get(client: Any, target: Target) -> None:
    with urllib.request.urlopen(client.presigned_get(KEY), timeout=30) as answer:
        assert answer.read() == BODY


def presigned_put(client: Any, target: Target) -> None:
    request = urllib.request.Request(client.presigned_put("presigned"), data=BODY[::-1], method="PUT")
    request.add_header("Content-Type", "")  # urllib's own default would be stored, and was not signed
    with urllib.request.urlopen(request, timeout=30):
        pass
    assert client.get("presigned") == BODY[::-1]


STEPS = (put_and_get, ranged_get, list_many, multipart, copy, delete, presigned_get, presigned_put)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main(name: str) -> None:
    target = Target.from_environment()
    module = importlib.import_module(f"tests.acceptance.clients.with_{name}")
    client = module.Client(target)
    cannot: dict[str, str] = getattr(module, "CANNOT", {})
    for step in STEPS:
        if step.__name__ not in cannot:
            step(client, target)
        print(f"{step.__name__}: {cannot.get(step.__name__, 'ok')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
