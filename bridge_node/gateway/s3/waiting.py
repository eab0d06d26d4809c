"""A document that is not there yet: its declaration at once, white space while it is made, then the rest.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

import asyncio
from collections.abc import Callable

from bridge_node.protocols.s3.xml import DECLARATION

_DECLARATION = DECLARATION.encode()


class WaitingDocument:
    """The body of an answer whose status is already 200. `write` makes the document of the result or of the error.

    White space is legal behind an XML declaration, and not before it. Whoever stops reading cancels the work, which
    shields itself where it must.
    """

    __slots__ = ("_began", "_ended", "_interval", "_work", "_write", "size", "started")

    def __init__(
        self,
        work: "asyncio.Future[object]",
        write: Callable[[object], bytes],
        interval: float,
    ) -> None:
        self.size: int | None = None
        self.started = False
        self._work = work
        self._write = write
        self._interval = interval
        self._began = False
        self._ended = False

    def read_nowait(self) -> bytes | None:
        if self._ended:
            return b""
        if not self._began:
            self._began = self.started = True
            return _DECLARATION
        if not self._work.done():
            return None
        self._ended = True
        error = self._work.exception()
        return self._write(self._work.result() if error is None else error).removeprefix(_DECLARATION)

    async def read(self) -> bytes:
        data = self.read_nowait()
        if data is not None:
            return data
        await asyncio.wait((self._work,), timeout=self._interval)
        return self.read_nowait() or b" "

    def abort(self, error: BaseException) -> None:
        self._work.cancel()
