"""The last answer and the documents in force, on disk exactly as they were received: sealed (node-protocol.md §3).

Whoever reads the disk without the node's key learns nothing, and what was changed there does not open. A document is
written before the answer that names it, and removed only after an answer that does not.

The methods block.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bridge_node.agent.answers import Held
from bridge_node.agent.identity import sync_directory, write_private

ANSWER_FILE = "answer.jws"
REVOKED_FILE = "revoked.json"
FOLDER = "documents"


class SealedStore:
    """Below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._answer = directory / ANSWER_FILE
        self._revoked = directory / REVOKED_FILE
        self._documents = directory / FOLDER

    def save(self, answer: bytes, held: Mapping[str, Held]) -> None:
        """Raises OSError when the disk does not take it; what was there before is still whole then."""
        wanted = {_file_name(name, one.digest): one.sealed for name, one in held.items()}
        self._documents.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = {file.name for file in self._documents.iterdir()}
        for name in wanted.keys() - there:
            write_private(self._documents / name, wanted[name].encode())
        write_private(self._answer, answer)
        for name in there - wanted.keys():
            (self._documents / name).unlink(missing_ok=True)
        self._revoked.unlink(missing_ok=True)

    def answer(self) -> bytes | None:
        """The last answer; None when there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self._answer.read_bytes()
        return None

    def documents(self, id: str, digest: str) -> Iterator[str]:
        """What is kept of a document: the version that `digest` names first, then others."""
        files = sorted(self._documents.glob(f"{_file_name(id, '')}*"))
        files.sort(key=lambda file: file.name != _file_name(id, digest))
        return (file.read_text("ascii", errors="replace") for file in files)

    def erase(self, version: int) -> None:
        """Forgets everything but the version of the answer that asked for it, so that no older one is believed."""
        self._answer.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            for file in self._documents.iterdir():
                file.unlink(missing_ok=True)
            sync_directory(self._documents)
        write_private(self._revoked, json.dumps({"version": version}).encode())  # last: it takes room on the disk

    def revoked_at(self) -> int:
        """The version that revoked this node; 0 when none did."""
        try:
            return int(json.loads(self._revoked.read_bytes())["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0


def _file_name(id: str, digest: str) -> str:
    """Ids are a stranger's words, so they are not used as names."""
    return f"{hashlib.sha256(id.encode()).hexdigest()[:32]}.{digest}"
