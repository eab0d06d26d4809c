"""Bodies that arrive in pieces, for sources around sources."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise

from bridge_node.body import ByteSource


class Pieces:
    """A body that comes as these pieces; an empty one means that the reader has to wait for the next."""

    def __init__(self, pieces: Iterable[bytes], size: int | None = None) -> None:
        self._pieces = list(pieces)
        self.size = size
        self.started = False
        self.aborted: BaseException | None = None

    def read_nowait(self) -> bytes | None:
        if not self._pieces:
            return b""
        self.started = True
        return self._pieces.pop(0) or None

    async def read(self) -> bytes:
        while self._pieces and not self._pieces[0]:
            self._pieces.pop(0)
            await asyncio.sleep(0)
        return self.read_nowait() or b""

    def abort(self, error: BaseException) -> None:
        self.aborted = error
        self._pieces = []


def cut(data: bytes, cuts: Iterable[int], *, waits: bool = False) -> list[bytes]:
    """`data` cut at these positions; with `waits`, the reader has to wait before every piece."""
    positions = sorted({min(position, len(data)) for position in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in pairwise(positions)]
    return [piece for pair in pieces for piece in (b"", pair)] if waits else pieces


async def drained(source: ByteSource) -> bytes:
    """The whole body, read as `body.copy` reads: without waiting where that is possible."""
    data = b""
    while True:
        piece = source.read_nowait()
        if piece is None:
            piece = await source.read()
        if not piece:
            return data
        data += piece
