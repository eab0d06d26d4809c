"""The backends in use: one for equal specifications, made when first asked for, ended when no catalog names them."""

import asyncio
from pathlib import Path

from bridge_node.backends.base import Backend, Observer
from bridge_node.catalog import BackendSpec, Catalog

LINGER_SECONDS = 60.0
"""How long a retired backend still serves the requests that began with an older catalog."""


class BackendPool:
    """Equal specifications share a backend; another credential or setting is another one (promise 20).

    Everything runs on one event loop. Call `close` when done.
    """

    def __init__(self, observer: Observer, *, linger: float = LINGER_SECONDS) -> None:
        self._observer = observer
        self._linger = linger
        self._backends: dict[BackendSpec, Backend] = {}
        self._known: dict[int, tuple[BackendSpec, Backend]] = {}
        """By identity of the specification, because hashing one costs more than finding it."""
        self._retiring: dict[asyncio.Task[None], Backend] = {}

    def get(self, spec: BackendSpec) -> Backend:
        """The backend of `spec`. Raises what making it raises: ValueError for a specification that makes no sense."""
        known = self._known.get(id(spec))
        if known is not None:
            return known[1]
        backend = self._backends.get(spec)
        if backend is None:
            backend = self._backends[spec] = make(spec, self._observer)
        self._known[id(spec)] = (spec, backend)
        return backend

    def apply(self, catalog: Catalog) -> None:
        """Keeps what `catalog` names; the rest is closed once the requests that use it have had time to end."""
        named = catalog.backends()
        self._known.clear()
        for spec in [one for one in self._backends if one not in named]:
            self._retire(spec, self._backends.pop(spec))

    async def close(self) -> None:
        """Ends every backend, retired ones too, when its running calls have ended."""
        for waiting in self._retiring:
            waiting.cancel()
        backends = [*self._backends.values(), *self._retiring.values()]
        self._backends.clear()
        self._known.clear()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(backend.close() for backend in backends))

    def _retire(self, spec: BackendSpec, backend: Backend) -> None:
        task = asyncio.get_running_loop().create_task(self._end(backend), name=f"retire {spec.name}")
        self._retiring[task] = backend
        task.add_done_callback(self._retiring.pop)

    async def _end(self, backend: Backend) -> None:
        await asyncio.sleep(self._linger)
        await backend.close()


def make(spec: BackendSpec, observer: Observer) -> Backend:
    """A backend by its kind. Kinds are imported when the first of them is configured."""
    match spec.kind:
        case "memory":
            from bridge_node.backends.memory import MemoryBackend

            return MemoryBackend()
        case "local":
            from bridge_node.backends.local import LocalBackend

            return LocalBackend(Path(spec.root))
        case "s3":
            from bridge_node.backends.s3 import S3Backend

            return S3Backend(spec, observer=observer)
