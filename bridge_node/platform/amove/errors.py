"""How this API refuses (contract §0.1): 401 and 500 without a body, and 499 with a code for everything else."""

from enum import StrEnum
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError

from bridge_node.errors import (
    BridgeError,
    BucketExists,
    BucketNotEmpty,
    BucketOwnedByCaller,
    InvalidRequest,
    NoSuchBucket,
    NotSupported,
)
from bridge_node.platform.errors import Forbidden, NotFound, PlatformError, TooMany, Unauthorised
from bridge_node.platform.requests import unreadable

log = structlog.get_logger()

PROBLEM = 499
_DATA_EXCEPTIONS = "22"
"""Class of PostgreSQL's errors for values that cannot be stored."""


class Code(StrEnum):
    DEFAULT = "DEFAULT"
    ACCESS = "ACCESS"
    SECURITY = "SECURITY"
    NOT_FOUND = "NOT_FOUND"
    DUPLICATE = "DUPLICATE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "401 without a body, or 499 with a code, which the header `error-code` repeats",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "status", "errors"],
                    "properties": {
                        "type": {"type": "string", "enum": list(Code)},
                        "status": {"type": "integer", "const": PROBLEM},
                        "errors": {
                            "type": "object",
                            "additionalProperties": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                }
            }
        },
    },
    "500": {"description": "A fault of the platform, without a body"},
}
"""What the OpenAPI document says of every call."""


class Refused(Exception):
    """Something that the caller can know and put right."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def problem(code: Code, message: str) -> Response:
    body = {"type": code, "status": PROBLEM, "errors": {code: [message]}}
    return JSONResponse(body, PROBLEM, {"error-code": code}, media_type="application/problem+json")


def nobody() -> Response:
    """Without a token that is believed."""
    return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})


def broken() -> Response:
    return Response(status_code=500)


async def refused(request: Request, error: Any) -> Response:
    refusal: Refused = error
    return problem(refusal.code, refusal.message)


_OF_THE_PLATFORM: dict[type[PlatformError], Code] = {
    Forbidden: Code.ACCESS,
    NotFound: Code.NOT_FOUND,
    TooMany: Code.SECURITY,
}


async def of_the_platform(request: Request, error: Any) -> Response:
    refusal: PlatformError = error
    if isinstance(refusal, Unauthorised):
        return nobody()
    answer = problem(_OF_THE_PLATFORM.get(type(refusal), Code.DEFAULT), refusal.message)
    answer.headers.update(refusal.headers())
    return answer


_OF_A_CLOUD: tuple[tuple[type[BridgeError], Code], ...] = (
    (NoSuchBucket, Code.NOT_FOUND),
    (BucketExists, Code.DUPLICATE),
    (BucketOwnedByCaller, Code.DUPLICATE),
    (BucketNotEmpty, Code.DEFAULT),
    (InvalidRequest, Code.DEFAULT),
    (NotSupported, Code.DEFAULT),
)
"""Whatever else happens at a cloud is INTERNAL_ERROR: nothing that the caller could put right in the request."""


async def of_a_cloud(request: Request, error: Any) -> Response:
    failure: BridgeError = error
    code = next((code for kind, code in _OF_A_CLOUD if isinstance(failure, kind)), Code.INTERNAL_ERROR)
    if code is Code.INTERNAL_ERROR:
        log.warning("cloud_failed", error=type(failure).__name__, reason=failure.reason)
    return problem(code, failure.message)


async def not_readable(request: Request, error: Any) -> Response:
    return problem(Code.DEFAULT, unreadable(error).message)


_NO_ROUTE = {404: (Code.NOT_FOUND, "No such call"), 405: (Code.DEFAULT, "No such method here")}


async def no_route(request: Request, error: Any) -> Response:
    return problem(*_NO_ROUTE.get(error.status_code, (Code.DEFAULT, "The request cannot be read")))


async def unavailable(request: Request, error: Any) -> Response:
    log.warning("database_unavailable", error=str(error))
    return broken()


async def not_storable(request: Request, error: Any) -> Response:
    if isinstance(error, DBAPIError) and not str(getattr(error.orig, "sqlstate", "")).startswith(_DATA_EXCEPTIONS):
        log.error("database_error", error=type(error.orig).__name__, exc_info=error.orig)
        return broken()
    return problem(Code.DEFAULT, "A value cannot be stored")
