"""Which names a bucket may have: S3's rules, so that every kind of backend can hold it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

import re

from bridge_node.errors import InvalidBucketName

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def is_bucket_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _ADDRESS.fullmatch(name) is None


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName for a name that S3 would not give to a bucket."""
    if not is_bucket_name(name):
        raise InvalidBucketName(BucketName=name)
