"""A browser's form upload: the multipart/form-data body and its signed policy.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html and …/sigv4-HTTPPOSTConstructPolicy.html
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge_node.body import ByteSource
from bridge_node.protocols.s3.sigv4 import Authorization


@dataclass(frozen=True, slots=True)
class Form:
    """The fields before the file (lower-case names) and the file itself, which ends at the form's closing boundary.

    `file.size` counts on the file being the last part; it raises MalformedFraming when it is not.
    """

    fields: Mapping[str, str]
    filename: str
    file: ByteSource

    def key(self) -> str:
        """The field `key` with `${filename}` filled in; raises InvalidArgument without one."""
        raise NotImplementedError


async def read_form(source: ByteSource, content_type: str, max_fields: int = 20 * 1024) -> Form:
    """Reads up to the first byte of the file. Raises MalformedFraming, MalformedDocument or InvalidArgument."""
    raise NotImplementedError


def parse_fields(fields: Mapping[str, str]) -> Authorization:
    """Credentials of a form; its policy is what `sigv4.sign_text` signs.

    Raises MissingCredentials, MalformedCredentials or UnsupportedSignature.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """content-length-range of a policy, inclusive."""

    smallest: int = 0
    largest: int | None = None

    def check(self, size: int) -> None:
        """Raises InvalidRequest (EntityTooSmall) or TooLarge."""
        raise NotImplementedError


def check_policy(form: Form, bucket: str, now: float) -> SizeLimits:
    """Holds every field to the policy; raises AccessDenied or MalformedDocument. The signature is checked before."""
    raise NotImplementedError
