"""Calls to the platform: signed, bounded in time and size, believed only as far as they can be checked.

Everything that a platform, or who stands in its place, may do wrong ends as one of two exceptions here.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from bridge_node.crypto import httpsig
from bridge_node.crypto.sealing import SIGNED_LIMIT
from bridge_node.messages import PROTOCOL_HEADER, PROTOCOL_VERSION, BadMessage, RegistrationAnswer

ANSWER_LIMIT = 1024 * 1024
"""Most bytes of an answer that says little."""
SIGNED_ANSWER_LIMIT = SIGNED_LIMIT * 4 // 3
CONNECT_SECONDS = 10.0
_MESSAGE_LIMIT = 200

Signer = tuple[httpsig.PrivateKey, str]
"""A key and its id."""


class PlatformAway(Exception):
    """No answer, or none that makes sense: asking again later may help. The message is a word or a few."""


class PlatformRefused(Exception):
    """The platform understood and said no, in the form that it has for that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}".strip())
        self.status = status

    @property
    def for_good(self) -> bool:
        """Whether the same call would be refused again (node-protocol.md §5)."""
        return 400 <= self.status < 500 and self.status not in (401, 408, 409, 429)


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `wait` is how long the platform may take on purpose; `limit` bounds the answer in bytes."""

    path: str
    body: bytes
    signer: Signer | None
    wait: float = 0.0
    limit: int = ANSWER_LIMIT


class PlatformClient:
    """An `async with` session. `skew` is how far the platform's clock is ahead of ours in seconds, when known."""

    def __init__(
        self,
        url: str,
        version: str,
        *,
        timeout: float,
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.skew: float | None = None
        self._url = url.rstrip("/")
        self._version = version
        self._timeout = timeout
        self._ca_file = ca_file
        self._now = now

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=8),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={
                "User-Agent": f"bridge-node/{self._version}",
                "Accept-Encoding": "identity",
                PROTOCOL_HEADER: str(PROTOCOL_VERSION),
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, call: Call) -> bytes:
        """The body of a 2xx answer. Raises PlatformAway or PlatformRefused."""
        url = self._url + call.path
        headers = {"Content-Type": "application/json"}
        if call.signer is not None:
            key, keyid = call.signer
            headers |= httpsig.sign(key, keyid, httpsig.Call("POST", url, call.body), self._now())
        try:
            async with asyncio.timeout(call.wait + self._timeout):
                return await self._exchange(url, headers, call)
        except TimeoutError as error:
            raise PlatformAway("no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PlatformAway(_reason(error)) from error

    async def _exchange(self, url: str, headers: dict[str, str], call: Call) -> bytes:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        async with self._session.post(
            URL(url, encoded=True), data=call.body, headers=headers, allow_redirects=False, timeout=timeout
        ) as answer:
            if not call.wait:  # a long poll may carry the time at which it began
                self._compare_clocks(answer.headers.get("Date", ""))
            body = await _bounded(answer, call.limit)
            if answer.status < 300:
                return body
            message = _refusal(body)
            if message is None or not 400 <= answer.status < 500:
                raise PlatformAway(f"status {answer.status}")
            raise PlatformRefused(answer.status, message)

    def _compare_clocks(self, date: str) -> None:
        """A date has whole seconds, and the answer took some time: the figure is for warnings only."""
        try:
            self.skew = parsedate_to_datetime(date).timestamp() + 0.5 - self._now()
        except (ValueError, OverflowError):
            return


async def _bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > limit:
            raise PlatformAway("an answer without end")
        parts.append(part)
    return b"".join(parts)


def _refusal(body: bytes) -> str | None:
    """What the platform says when it refuses; None when somebody else answers in its place, such as a proxy."""
    try:
        answer = RegistrationAnswer.decode(body)
    except BadMessage:
        return None
    return None if answer.success else _printable(answer.message)


def _printable(text: str) -> str:
    """What may stand in a log of what somebody else wrote."""
    return "".join(character if character.isprintable() else " " for character in text[:_MESSAGE_LIMIT])


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "certificate not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.strerror or type(error.os_error).__name__}"
    return type(error).__name__
