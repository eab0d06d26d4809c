"""Values of request bodies, read tolerantly and bounded strictly."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
"""What people call something."""
AccessType = Annotated[Literal["READ", "WRITE", "ADMIN"], BeforeValidator(_upper)]
