"""The last piece of a body is kept back until the body has proved to be what was announced (promise 2)."""

from bridge_node.body import ByteSource
from bridge_node.errors import BridgeError


class HoldingSource:
    """A source around a source. What subclasses take in by `_pass`, and approve of in `_check`, is handed out.

    One piece is always kept until `_check` has approved, so that nobody can mistake a refused body for a complete
    one. A small body that is here already comes out in one piece. A refusal aborts the source behind, and stands.
    """

    def __init__(self, source: ByteSource, size: int | None) -> None:
        self.size = size
        self.started = False
        self._source = source
        self._held = b""
        self._ended = False
        self._refusal: BridgeError | None = None

    def _pass(self, data: bytes) -> bytes:
        """What `data` (never empty) contributes to the body, perhaps nothing yet. May refuse it."""
        raise NotImplementedError

    def _check(self) -> None:
        """The source has ended: refuses the body or approves of it."""
        raise NotImplementedError

    def read_nowait(self) -> bytes | None:
        if self._refusal is not None:
            raise self._refusal
        while not self._ended:
            data = self._source.read_nowait()
            if data is None:
                return None
            piece = self._taken(data)
            if piece:
                return piece
        return self._released(b"")

    async def read(self) -> bytes:
        piece = self.read_nowait()
        while piece is None:
            piece = self._taken(await self._source.read()) or self.read_nowait()
        return piece

    def abort(self, error: BaseException) -> None:
        self._held = b""
        self._source.abort(error)

    def _taken(self, data: bytes) -> bytes:
        """Takes in what came; returns the piece held so far if another one takes its place, else b""."""
        try:
            if data:
                piece = self._pass(data)
                return self._released(piece) if piece else b""
            self._check()
        except BridgeError as refusal:
            self._refusal = refusal
            self.abort(refusal)
            raise
        self._ended = True
        return b""

    def _released(self, following: bytes) -> bytes:
        piece, self._held = self._held, following
        if piece:
            self.started = True
        return piece
