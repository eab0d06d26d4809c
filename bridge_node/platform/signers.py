"""Nodes by the key that they sign with, looked up for many calls at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge_node.platform.database import Database
from bridge_node.platform.store import enrolments, grants
from bridge_node.platform.store.enrolments import Enrolment
from bridge_node.platform.store.grants import Asked
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.together import Batch


@dataclass(frozen=True, slots=True)
class Signer:
    """A node with the key that was asked for, and what it has still to answer."""

    node: Node
    enrolment: Enrolment
    tasks: tuple[Asked, ...]


class Signers:
    """As the database has them when they are asked for."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._asked = Batch(self._of)

    async def of(self, thumbprint: str) -> Signer | None:
        """None for a key that no node has."""
        return await self._asked.ask(thumbprint)

    async def _of(self, thumbprints: Sequence[str]) -> list[Signer | None]:
        async with self._database.reading() as connection:
            known = await enrolments.signers(connection, set(thumbprints))
            ids = {node.id for node, _ in known.values()}
            tasks = await grants.open_tasks(connection, ids, self._now_ms()) if ids else {}
        found = {name: Signer(node, enrolment, tasks.get(node.id, ())) for name, (node, enrolment) in known.items()}
        return [found.get(name) for name in thumbprints]
