"""One call of the platform's HTTP API after the other, with nothing that is slow to import."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bridge_node.version import running_version

_LARGEST_ANSWER = 256 * 1024 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Unreachable(Exception):
    """No answer, or none of a platform."""


class BadAddress(Exception):
    """The URL or the file of certificates cannot be used."""


class Refused(Exception):
    """The platform's answer is no. The text is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """Where a platform is. `plain_http`: whether its token may go over a network without TLS."""

    url: str
    ca_file: Path | None = None
    timeout: float = 30.0
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """Every method raises Refused, Unreachable and BadAddress."""

    server: Server
    token: str

    def get(self, path: str, **query: str | None) -> Any:
        """The answer. What is None is not asked for."""
        given = {name: value for name, value in query.items() if value}
        return self.call("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.call("POST", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON. When calls come too fast, waits as the platform says, but not beyond the timeout."""
        patience = time.monotonic() + self.server.timeout
        while True:
            status, wait, text = self._exchange(method, target, body)
            if status != HTTPStatus.TOO_MANY_REQUESTS or wait is None or time.monotonic() + wait > patience:
                return _answered(status, text)
            time.sleep(wait)

    def _exchange(self, method: str, target: str, body: Mapping[str, Any] | None) -> tuple[int, float | None, bytes]:
        """Status, seconds to wait before another try (a used-up quota names none), and text of an answer."""
        connection, prefix = _connection(self.server)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
            "User-Agent": f"bridge-node-ctl/{running_version()}",
        }
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, prefix + target, content, headers)
            answer = connection.getresponse()
            wait = answer.getheader("Retry-After", "")
            return answer.status, float(wait) if wait.isdecimal() else None, answer.read(_LARGEST_ANSWER)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"the certificate is not trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self.server.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_reason(error)) from error
        finally:
            connection.close()


def place(*steps: str) -> str:
    """A path of which every step is what it is, whatever is in it."""
    return "".join(f"/{quote(step, safe='')}" for step in steps)


def _connection(server: Server) -> tuple[http.client.HTTPConnection, str]:
    """A connection to be opened, and what all paths begin with."""
    try:
        parts = urlsplit(server.url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadAddress(f"{server.url}: is no URL") from error
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
        raise BadAddress(f"{server.url}: must be https://host[:port]")
    prefix = parts.path.rstrip("/")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=server.timeout, context=_trust(server)), prefix
    if host not in _LOOPBACK and not server.plain_http:
        raise BadAddress(f"{server.url}: the token would be read on the way; use https, or --plain-http")
    return http.client.HTTPConnection(host, port, timeout=server.timeout), prefix


def _trust(server: Server) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise BadAddress(f"{server.ca_file}: is no file of certificates") from error


def _answered(status: int, text: bytes) -> Any:
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise Unreachable(f"what answers is no platform (status {status})") from error
    if status >= 300:
        raise Refused(status, _message(answer) or f"status {status}")
    return answer


def _message(answer: Any) -> str:
    """What somebody else wrote, as it may stand on a terminal."""
    text = str(answer.get("message", "")) if isinstance(answer, dict) else ""
    return "".join(character if character.isprintable() else " " for character in text)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
