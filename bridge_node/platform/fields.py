"""Values of request bodies and declarations, read tolerantly and bounded strictly."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bridge_node.platform import tolerance

_LONGEST_OPTIONS = 16 * 1024
_FLAGS = ("serve_stale", "unattached_sources", "bucket_configuration")
_WORDS = ("read_policy",)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _storage_type(value: object) -> object:
    return tolerance.storage_type(value) if isinstance(value, str) else value


def _mode(value: object) -> object:
    return tolerance.mode(value) if isinstance(value, str) else value


def _options(options: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError("must hold texts, numbers, booleans, lists and tables only") from error
    if len(text) > _LONGEST_OPTIONS:
        raise ValueError("is too large")
    if "\\u0000" in text:
        raise ValueError("must not contain NUL characters")
    if wrong := next((name for name in _FLAGS if not isinstance(options.get(name, False), bool)), None):
        raise ValueError(f"{wrong} must be true or false")
    if wrong := next((name for name in _WORDS if not isinstance(options.get(name, ""), str)), None):
        raise ValueError(f"{wrong} must be text")
    return options


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
"""What people call something."""
Identifier = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
"""The id of a row."""
ShortText = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]
AccessType = Annotated[Literal["READ", "WRITE", "ADMIN"], BeforeValidator(_upper)]
Spoken = Annotated[Literal["S3", "GCS", "BLOB"], BeforeValidator(_storage_type)]
"""What clients of a repository speak."""
StorageType = Annotated[Literal["S3", "GCS", "BLOB", "LOCAL"], BeforeValidator(_storage_type)]
"""What is spoken to a bucket."""
Mode = Annotated[Literal["NORMAL", "MIRROR"], BeforeValidator(_mode)]
Options = Annotated[dict[str, Any], AfterValidator(_options)]
"""Extensions, of a repository or of an attachment: those that are known have their type, others pass."""
SecretText = Annotated[str, Field(max_length=16 * 1024)]
"""Of several lines, when it is a private key."""
Provider = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable), AfterValidator(str.upper)]
"""Whose cloud it is: an open list."""
