"""What was signed and may not be used again: nonces, and plain calls with the answer they got."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import nonces, plain_calls
from bridge_node.platform.store.sql import Newcomers, insert

_NONCES = Newcomers(nonces)


@dataclass(frozen=True, slots=True)
class Nonce:
    """What a key signed, until `forget_at` (epoch milliseconds)."""

    keyid: str
    nonce: str
    forget_at: int


async def use(connection: AsyncConnection, used: Nonce) -> bool:
    """Whether the key never used this nonce before; from now on it did."""
    return (await use_all(connection, [used]))[0]


async def use_all(connection: AsyncConnection, used: Sequence[Nonce]) -> list[bool]:
    """Of each, whether it is used for the first time."""
    new = set(await _NONCES.put(connection, [(one.keyid, one.nonce, one.forget_at) for one in used]))
    first = []
    for one in used:
        first.append((one.keyid, one.nonce) in new)
        new.discard((one.keyid, one.nonce))
    return first


@dataclass(frozen=True, slots=True)
class Remembered:
    """A plain call that came before."""

    route: str
    body_digest: str
    status: int
    answer: bytes


async def begin(
    connection: AsyncConnection, signature: str, route: str, body_digest: str, forget_at: int
) -> Remembered | None:
    """None for a signature's first call, which is remembered from now on; else the call that it came with before.

    Of two at the same time, the second waits here until the first one's transaction ends.
    """
    row = insert(connection, plain_calls).values(
        signature=signature, route=route, body_digest=body_digest, status=0, answer=b"", forget_at=forget_at
    )
    first = await connection.execute(row.on_conflict_do_nothing().returning(plain_calls.c.signature))
    if first.one_or_none() is not None:
        return None
    found = await connection.execute(select(plain_calls).where(plain_calls.c.signature == signature))
    call = found.one()
    return Remembered(call.route, call.body_digest, call.status, call.answer)


async def remember(connection: AsyncConnection, signature: str, status: int, answer: bytes) -> None:
    """What the same call gets if it comes again."""
    call = update(plain_calls).where(plain_calls.c.signature == signature)
    await connection.execute(call.values(status=status, answer=answer))


async def sweep(connection: AsyncConnection, now: int) -> None:
    """Forgets what is too old to be accepted anyway."""
    await connection.execute(delete(nonces).where(nonces.c.forget_at < now))
    await connection.execute(delete(plain_calls).where(plain_calls.c.forget_at < now))
