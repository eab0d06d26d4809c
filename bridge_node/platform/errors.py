"""Refusals, one class for each meaning, and the one body that all clients understand (contract §0.1)."""

from typing import Any, ClassVar


class PlatformError(Exception):
    """A call that is refused. `message` is for the caller and holds nothing it may not know."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, code: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.fields = fields
        """More of the body, where a route's contract has more."""

    def body(self) -> dict[str, Any]:
        """The superset of all error bodies; the names of codes only where there is one."""
        named = {
            "error_code": self.code,
            "error_message": self.message,
            "errorCode": self.code,
            "errorMessage": self.message,
        }
        return {"success": False, "message": self.message, **(named if self.code else {}), **self.fields}

    def headers(self) -> dict[str, str]:
        return {}


class BadRequest(PlatformError):
    status = 400


class Unauthorised(PlatformError):
    """Nobody we know, or a signature that does not hold."""

    status = 401


class Forbidden(PlatformError):
    status = 403


class NotFound(PlatformError):
    """Nothing there that the caller may know of."""

    status = 404


class NotAllowedHere(PlatformError):
    status = 405


class Conflict(PlatformError):
    status = 409


class TooLarge(PlatformError):
    status = 413


class TooMany(PlatformError):
    """A rate or a quota is used up."""

    status = 429

    def __init__(self, message: str, code: str = "", *, retry_after: int = 0, **fields: Any) -> None:
        super().__init__(message, code, **fields)
        self._retry_after = retry_after

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self._retry_after)} if self._retry_after else {}


class Broken(PlatformError):
    """Our own fault. What went wrong is in the log, never in the answer."""

    status = 500

    def __init__(self) -> None:
        super().__init__("Internal error")


class Unavailable(PlatformError):
    """The database does not answer in time."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Try again later")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}
