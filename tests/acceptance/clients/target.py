"""What a client of the scenario talks to."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """The node, a credential, and what was prepared there."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str
    """Empty, and this client's own."""
    listed_bucket: str
    listed_keys: int
    """So many keys `listed/0000` … are in `listed_bucket`."""
    large_file: Path
    scratch: Path

    @classmethod
    def from_environment(cls) -> "Target":
        return cls(
            endpoint=os.environ["TARGET_ENDPOINT"],
            access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            region=os.environ["AWS_DEFAULT_REGION"],
            bucket=os.environ["TARGET_BUCKET"],
            listed_bucket=os.environ["TARGET_LISTED_BUCKET"],
            listed_keys=int(os.environ["TARGET_LISTED_KEYS"]),
            large_file=Path(os.environ["TARGET_LARGE_FILE"]),
            scratch=Path(os.environ["TARGET_SCRATCH"]),
        )
