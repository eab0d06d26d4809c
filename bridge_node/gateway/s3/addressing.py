"""Which bucket and key a request names: in the path, or the bucket in the host (virtual-host style).

https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from collections.abc import Sequence

from bridge_node.errors import InvalidBucketName, InvalidRequest
from bridge_node.protocols.http import percent_decoded


class Addressing:
    """`domains` are host names whose subdomains are buckets."""

    def __init__(self, domains: Sequence[str]) -> None:
        self._suffixes = tuple(sorted((f".{domain.lower().strip('.')}" for domain in domains), key=len, reverse=True))

    def split(self, host: str, path: str) -> tuple[str, str]:
        """Bucket and key, decoded once; the key is "" for a bucket itself, both are "" for the service."""
        if path[:1] != "/":
            raise InvalidRequest("Couldn't parse the specified URI.", reason="target_without_path")
        bucket = self._bucket_of(host) if self._suffixes else ""
        if bucket:
            return bucket, percent_decoded(path[1:])
        bucket, _, key = path[1:].partition("/")
        if not bucket and key:
            raise InvalidBucketName(BucketName="")
        if "%" not in path and path.isascii():
            return bucket, key
        return percent_decoded(bucket), percent_decoded(key)

    def _bucket_of(self, host: str) -> str:
        name = without_port(host).lower()
        for suffix in self._suffixes:
            if name.endswith(suffix):
                return name.removesuffix(suffix)
        return ""


def without_port(host: str) -> str:
    """The host of `host[:port]`; brackets of an IPv6 address stay."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
