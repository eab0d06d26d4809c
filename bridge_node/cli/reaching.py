"""Reaching, once and now, everything that a configuration names: buckets, accounts, clocks, certificates."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bridge_node.backends.base import Unobserved
from bridge_node.backends.bucketnames import is_bucket_name
from bridge_node.backends.dialing import Dialer, Origin
from bridge_node.backends.pool import BackendPool
from bridge_node.backends.s3.client import amazon_endpoint
from bridge_node.backends.transport import Transport
from bridge_node.catalog import BackendSpec
from bridge_node.errors import BackendRefused, BackendTimeout, BackendUnreachable, BridgeError, NoSuchBucket
from bridge_node.protocols.http import parse_http_date

State = Literal["ok", "unreachable", "refused", "failed"]

TOLERATED_SKEW = 900.0
"""Seconds after which S3 refuses signatures for their time (checklist 19)."""
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket of a repository, or a whole account (`bucket` None)."""

    repository: str
    backend: BackendSpec
    bucket: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """What a backend's server says of itself, where it has one: None is unknown."""

    clock_seconds: float | None = None
    """How far its clock is ahead of ours; HTTP tells whole seconds only."""
    certificate_days: float | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """How one place stands. `detail` says why, when it is not well."""

    place: Place
    state: State
    seconds: float
    detail: str
    server: Server


async def reach(places: Sequence[Place], timeout: float) -> list[Reached]:
    """Reaches every place within `timeout` seconds each; in the order of `places`. Changes nothing anywhere."""
    pool = BackendPool(Unobserved())
    try:
        async with asyncio.TaskGroup() as group:
            servers = {
                spec: group.create_task(_server(spec, timeout), name=f"server {spec.name}")
                for spec in {place.backend for place in places}
            }
            tries = [
                group.create_task(_try(pool, place, timeout), name=f"{place.backend.name} {place.bucket}")
                for place in places
            ]
    finally:
        await pool.close()
    found = zip(places, tries, strict=True)
    return [_judged(Reached(place, *attempt.result(), servers[place.backend].result())) for place, attempt in found]


def _judged(reached: Reached) -> Reached:
    """A clock too far away fails every signature, whatever a first answer says."""
    if abs(reached.server.clock_seconds or 0.0) < TOLERATED_SKEW:
        return reached
    return replace(reached, state="failed", detail="the clocks are too far apart for signatures: set this host's clock")


async def _try(pool: BackendPool, place: Place, timeout: float) -> tuple[State, float, str]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            detail = await _answer(pool, place)
    except TimeoutError:
        return "unreachable", time.monotonic() - began, f"no answer within {timeout:g} s"
    except BridgeError as error:
        return _state(error), time.monotonic() - began, _why(error)
    return "ok", time.monotonic() - began, detail


async def _answer(pool: BackendPool, place: Place) -> str:
    if place.backend.kind == "local":
        return await asyncio.to_thread(_look, Path(place.backend.root), place.bucket)
    backend = pool.get(place.backend)
    if place.bucket is None:
        return _counted(len(await backend.list_buckets()))
    await backend.head_bucket(place.bucket)
    return ""


def _look(root: Path, bucket: str | None) -> str:
    """Only looks at directories: opening the backend would take hold of the root, which a running node has."""
    try:
        found = [entry for entry in (root / (bucket or "")).iterdir() if entry.is_dir() and is_bucket_name(entry.name)]
    except FileNotFoundError as error:
        raise NoSuchBucket from error
    except OSError as error:
        raise BackendRefused(reason="directory_unusable") from error
    return _counted(len(found)) if bucket is None else ""


def _counted(buckets: int) -> str:
    return "1 bucket" if buckets == 1 else f"{buckets} buckets"


def _state(error: BridgeError) -> State:
    if isinstance(error, BackendRefused):
        return "refused"
    return "unreachable" if isinstance(error, BackendUnreachable | BackendTimeout) else "failed"


def _why(error: BridgeError) -> str:
    reason = "no such bucket" if isinstance(error, NoSuchBucket) else error.reason.replace("_", " ")
    return f"{reason}: {error.__cause__}" if error.__cause__ and str(error.__cause__) else reason


async def _server(spec: BackendSpec, timeout: float) -> Server:
    """Asks the server for its clock and certificate; what it does not tell stays unknown."""
    if spec.kind != "s3":
        return Server()
    origin = Origin.parse(spec.endpoint or amazon_endpoint(spec.region))
    try:
        async with asyncio.timeout(timeout):
            return Server(await _clock(spec, origin), await _certificate_days(spec, origin))
    except (BridgeError, TimeoutError):
        return Server()


async def _clock(spec: BackendSpec, origin: Origin) -> float | None:
    """By the Date header of the answer to an unsigned HEAD, whatever its status."""
    transport = Transport(spec, Unobserved())
    try:
        asked = time.time()
        answer = await transport.send(origin, "HEAD", "/", [], operation="check")
        answered = time.time()
        await answer.body.read()
    finally:
        await transport.close()
    date = parse_http_date(answer.headers.get("date", ""))
    if date is None:
        return None
    # The server's clock stood somewhere in that second when it answered, between our two readings.
    return date - answered if date > answered else min(0.0, date + 1.0 - asked)


class _Witness(asyncio.Protocol):
    """Keeps the certificate of the server that it is connected to, and hangs up."""

    days: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        certificate = transport.get_extra_info("peercert") or {}
        if expires := certificate.get("notAfter"):
            self.days = (ssl.cert_time_to_seconds(expires) - time.time()) / DAY
        if isinstance(transport, asyncio.Transport):
            transport.abort()


async def _certificate_days(spec: BackendSpec, origin: Origin) -> float | None:
    if origin.scheme != "https":
        return None
    dialer = Dialer(connect_seconds=spec.connect_seconds, ca_file=spec.ca_file, proxy=spec.proxy)
    return (await dialer.dial(origin, lambda _: _Witness())).days
