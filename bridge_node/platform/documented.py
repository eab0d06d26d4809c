"""What the OpenAPI document says of every route: how it refuses (contract §0.1)."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict


class Refusal(BaseModel):
    """The superset of all error bodies. Codes are there where the contract has one."""

    model_config = ConfigDict(extra="allow")

    success: Literal[False]
    message: str
    error_code: str | None = None
    error_message: str | None = None


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": description}
    for status, description in {
        400: "Something in the request cannot be, or a rule does not hold",
        401: "Nobody who is known here",
        403: "Somebody who may not",
        404: "Nothing there that the caller may know of",
        409: "It was done already",
        429: "A rate or a quota is used up",
        503: "The database does not answer in time; `Retry-After` says when to come back",
    }.items()
}


class Documented(FastAPI):
    """Refuses unreadable requests with 400 everywhere, so its document does not speak of FastAPI's own 422."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
        return self.openapi_schema or {}
