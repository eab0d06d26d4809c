"""S3's error codes: one table, read forwards by the gateway and backwards by the backend.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from collections.abc import Mapping
from typing import NamedTuple

from bridge_node.errors import BridgeError
from bridge_node.objects import NO_HEADERS


class WireError(NamedTuple):
    """An error as S3 writes it. `extra` are further elements of the document, in order."""

    status: int
    code: str
    message: str
    extra: Mapping[str, str]


def to_wire(error: BaseException) -> WireError:
    """S3's form of any error; what is no BridgeError becomes InternalError without a word about it.

    `error.details` become extra elements. NotModified and InvalidRange carry their own headers: see the classes.
    """
    raise NotImplementedError


def fault_to_wire(status: int, reason: str, message: str) -> WireError:
    """S3's form of what the HTTP server could not read (gateway/http.HttpFault's fields)."""
    raise NotImplementedError


def from_wire(
    status: int,
    code: str = "",
    message: str = "",
    extra: Mapping[str, str] = NO_HEADERS,
    *,
    absent: type[BridgeError] | None = None,
) -> BridgeError:
    """What a backend's answer means.

    `code` is "" where there was no document (HEAD); `absent` then is what a bare 404 means, BackendMisbehaved by
    default (promise 10). Errors about the node's own credentials, permissions and clock become BackendRefused.
    """
    raise NotImplementedError
