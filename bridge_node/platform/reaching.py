"""Whether a bucket answers, asked from this process: by what nodes speak to it with, or by its cloud's own SDK.

Changes nothing anywhere. Endpoints are checked when the connection is made (promise 19).
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from bridge_node.backends import pool
from bridge_node.backends.base import Unobserved
from bridge_node.catalog import BackendSpec
from bridge_node.errors import BridgeError
from bridge_node.messages import BackendDocument, PlaceDocument
from bridge_node.platform import clouds

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Reached:
    """How it went. `message` is for people, and names no address."""

    status: Literal["ONLINE", "DISCONNECTED"]
    latency_ms: float
    message: str

    @property
    def found(self) -> bool:
        return self.status == "ONLINE"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """This process cannot tell, and why."""

    message: str


async def reach(place: PlaceDocument, *, allow_private: bool, seconds: float) -> Reached | Unreachable:
    """Asks for the head of the bucket, once and within `seconds`."""
    if place.backend.kind == "local":
        return Unreachable("only a node can try a bucket on its own disk, and none is online")
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            await _head(place, allow_private, seconds)
    except TimeoutError:
        reason = "deadline"
    except BridgeError as error:
        reason = error.reason
    except (OSError, ValueError):
        reason = "unusable"
    else:
        reason = ""
    return judged(reason, (time.monotonic() - began) * 1000)


def judged(reason: str, latency_ms: float | None) -> Reached:
    """What a probe's `reason` means; none is success."""
    latency = round(latency_ms or 0.0, 3)
    if not reason:
        return Reached("ONLINE", latency, "reachable")
    return Reached("DISCONNECTED", latency, _WORDS.get(reason) or f"the bucket does not answer: {reason}")


_REFUSED = "the bucket refuses these credentials"
_ABSENT = "there is no such bucket"
_SILENT = "there was no answer in time"
_AWAY = "the endpoint cannot be reached"
_WORDS = {
    "backend_401": _REFUSED,
    "backend_403": _REFUSED,
    "backend_refused": _REFUSED,
    "malformed_credentials": "the private key cannot be read",
    "backend_404": _ABSENT,
    "no_such_bucket": _ABSENT,
    "deadline": _SILENT,
    "probe_timeout": _SILENT,
    "backend_silent": _SILENT,
    "backend_timeout": _SILENT,
    "connect_timeout": _SILENT,
    "connect_failed": _AWAY,
    "no_address": _AWAY,
    "backend_unreachable": _AWAY,
    "tls_failed": "the endpoint's certificate is not valid",
    "address_refused": "the endpoint leads to an address that may not be used",
    "unusable": "nothing can be reached with this configuration",
}


async def _head(place: PlaceDocument, allow_private: bool, seconds: float) -> None:
    """As nodes do, where they speak it."""
    backend = place.backend
    match backend.kind:
        case "gcs" | "azure" as kind:
            account = clouds.Account(
                kind, backend.key, backend.secret, backend.endpoint, backend.region, allow_private=allow_private
            )
            async with clouds.reached(account, seconds=seconds) as cloud:
                await cloud.head(place.bucket)
        case _:
            await _head_over_s3(_spec(backend, allow_private), place.bucket)


def _spec(backend: BackendDocument, allow_private: bool) -> BackendSpec:
    return BackendSpec(
        name="platform",
        kind="s3",
        endpoint=backend.endpoint,
        region=backend.region or DEFAULT_REGION,
        access_key=backend.key,
        secret_key=SecretStr(backend.secret),
        allow_private_addresses=allow_private,
    )


async def _head_over_s3(spec: BackendSpec, bucket: str) -> None:
    backend = await asyncio.to_thread(pool.make, spec, Unobserved())
    try:
        await backend.head_bucket(bucket)
    finally:
        await backend.close()
