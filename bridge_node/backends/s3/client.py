"""How a request reaches an S3 account: where its bucket lies, signed for that region, its refusals understood.

Redirects are never followed to where they point: they name a region, and the node knows by itself where that is
(promise 19, checklist 75).
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from bridge_node.backends.base import Observer
from bridge_node.backends.connection import UpstreamResponse
from bridge_node.backends.dialing import Origin
from bridge_node.backends.s3.headers import not_modified
from bridge_node.backends.transport import Transport
from bridge_node.body import ByteSource, BytesSource, read_all
from bridge_node.catalog import BackendSpec
from bridge_node.errors import BackendFailure, BackendMisbehaved, BridgeError, InvalidRange, NoSuchKey
from bridge_node.objects import NO_HEADERS
from bridge_node.protocols.http import percent_encoded
from bridge_node.protocols.s3.documents import ErrorDocument, read_error
from bridge_node.protocols.s3.errors import from_wire
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer

MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes of the largest document that a backend may answer: a page of 1,000 keys is a tenth of it."""
AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
MAX_ERROR = 256 * 1024
MAX_REDIRECTS = 2
MAX_RETRIES = 2
REMEMBERED_BUCKETS = 4096

_PLAIN = re.compile(r"[A-Za-z0-9\-._~/]*+")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_DNS_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_NO_DOCUMENT = ErrorDocument("", "", NO_HEADERS)


class Place(NamedTuple):
    """Where a bucket is asked for, and by which signer."""

    origin: Origin
    host: tuple[str, str]
    """The Host header as it is signed."""
    path: str
    """What stands before the key: `/bucket/`, or `/` where the host names the bucket."""
    region: str
    signer: Signer

    def of(self, key: str) -> str:
        """The raw path of a key, or of the bucket itself."""
        if not key:
            return self.path.rstrip("/") or "/"
        return self.path + (key if _PLAIN.fullmatch(key) else percent_encoded(key))


class Client:
    """Requests to one account. `now` gives epoch seconds, `sleep` and `rng` are for back-off."""

    def __init__(
        self,
        spec: BackendSpec,
        observer: Observer,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport(spec, observer)
        self.amazon = not spec.endpoint or Origin.parse(spec.endpoint).host.endswith(AMAZON)
        self.now = now
        self._spec = spec
        self._observer = observer
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, guards nothing
        self._endpoint = Origin.parse(spec.endpoint or amazon_endpoint(spec.region))
        self._signers: dict[str, Signer] = {}
        self._places: dict[str, Place] = {}
        self.reached: dict[str, float] = {}
        """Until when a bucket is believed to be there."""

    async def send(
        self,
        operation: str,
        method: str,
        bucket: str,
        key: str = "",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: ByteSource | bytes | None = None,
        *,
        payload: str = UNSIGNED_PAYLOAD,
        repeatable: bool = True,
        absent: type[BridgeError] | None = None,
    ) -> UpstreamResponse:
        """The answer to one signed request, if it is a 2xx; any other one is raised as the error that it means.

        `bucket` "" asks the account. `query` is raw and canonical. A body in `bytes` is the node's own document and
        may be sent anew after a redirect; a source is pulled once. `absent` is what a bare 404 means. Besides errors
        of S3, raises what `Transport.send` raises.
        """
        redirects = retries = 0
        while True:
            place = self._places.get(bucket) or self._place(bucket)
            path = place.of(key)
            signed = place.signer.sign(method, path, query, [place.host, *headers], payload, self.now())
            source = BytesSource(body) if isinstance(body, bytes) else body
            answer = await self.transport.send(
                place.origin,
                method,
                f"{path}?{query}" if query else path,
                signed[1:],  # the transport writes Host itself
                source,
                operation=operation,
                repeatable=repeatable,
            )
            if answer.status < 300:
                return answer
            document = await refusal(answer)
            again = source is None or isinstance(body, bytes)
            if self._moved(bucket, place, answer, document):
                redirects += 1
                if again and redirects <= MAX_REDIRECTS:
                    continue
                raise BackendFailure(reason="redirected")
            again = again and (repeatable or document.code == "SlowDown")
            if again and retries < MAX_RETRIES and _may_pass(method, answer) and self.transport.budget.spend():
                retries += 1
                self._observer.retried(self._spec.name, f"status_{answer.status}")
                await self._sleep(self._rng.uniform(0.05, 0.15) * 2**retries)
                continue
            raise error_of(answer, document, absent=absent, written=method not in {"GET", "HEAD"})

    async def done(self, operation: str, method: str, bucket: str, key: str = "", **request: Any) -> UpstreamResponse:
        """Like `send`, for answers whose head says it all: their bodies are read and forgotten."""
        answer = await self.send(operation, method, bucket, key, **request)
        if answer.body.size != 0:
            await refusal(answer)
        return answer

    async def document(self, answer: UpstreamResponse) -> bytes:
        """The whole document of an answer; BackendMisbehaved when there is no end to it."""
        return await read_all(answer.body, MAX_DOCUMENT, BackendMisbehaved(reason="document_too_large"))

    def region_of(self, bucket: str) -> str:
        """The region that `bucket` was last found in."""
        return (self._places.get(bucket) or self._place(bucket)).region

    def forget(self, bucket: str) -> None:
        """A bucket of this name may now lie elsewhere."""
        self._places.pop(bucket, None)
        self.reached.pop(bucket, None)

    # where buckets lie

    def _place(self, bucket: str, region: str = "") -> Place:
        if len(self._places) >= REMEMBERED_BUCKETS:
            self._places.clear()
        region = region or self._spec.region
        origin = self._origin(region)
        path = f"/{percent_encoded(bucket, safe='')}/" if bucket else "/"
        if bucket and self._spec.addressing == "virtual" and _DNS_BUCKET.fullmatch(bucket):
            origin, path = origin._replace(host=f"{bucket}.{origin.host}"), "/"
        place = self._places[bucket] = Place(origin, ("Host", origin.authority), path, region, self._signer(region))
        return place

    def _origin(self, region: str) -> Origin:
        """The endpoint of a region: Amazon's own, or ours with the region's name in it replaced."""
        if not self._spec.endpoint or (self.amazon and region != self._spec.region):
            return Origin.parse(amazon_endpoint(region))
        labels = [region if label == self._spec.region else label for label in self._endpoint.host.split(".")]
        return self._endpoint._replace(host=".".join(labels))

    def _signer(self, region: str) -> Signer:
        if region not in self._signers:
            self._signers[region] = Signer(
                self._spec.access_key,
                self._spec.secret_key.get_secret_value(),
                region,
                self._spec.session_token.get_secret_value(),
            )
        return self._signers[region]

    def _moved(self, bucket: str, place: Place, answer: UpstreamResponse, document: ErrorDocument) -> bool:
        """Whether the answer says that the bucket lies in another region, which is remembered."""
        if answer.status not in {301, 307, 400, 403}:
            return False
        region = answer.headers.get("x-amz-bucket-region") or document.extra.get("Region", "")
        if region == place.region or not _REGION.fullmatch(region):
            return False
        self._place(bucket, region)
        return True


def query(*fields: tuple[str, str | None]) -> str:
    """A canonical query: in order of names, without those whose value is None."""
    return "&".join(
        [f"{name}={percent_encoded(value, safe='')}" for name, value in sorted(fields) if value is not None]
    )


def amazon_endpoint(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{suffix}"


async def refusal(answer: UpstreamResponse) -> ErrorDocument:
    """What an answer that is no success says about itself; empty where it says nothing that can be read."""
    try:
        data = await read_all(answer.body, MAX_ERROR, BackendMisbehaved(reason="error_too_large"))
    except BackendFailure:
        return _NO_DOCUMENT
    return read_error(data) or _NO_DOCUMENT if data else _NO_DOCUMENT


def error_of(
    answer: UpstreamResponse, document: ErrorDocument, *, absent: type[BridgeError] | None, written: bool
) -> BridgeError:
    """What a refusal means."""
    if answer.status == 304:
        return not_modified(answer.headers)
    if 300 <= answer.status < 400:
        return BackendMisbehaved(reason=f"redirect_{answer.status}")
    error = from_wire(answer.status, document.code, document.message, document.extra, absent=absent, written=written)
    if isinstance(error, InvalidRange) and error.size is None:
        size = answer.headers.get("content-range", "").rpartition("/")[2]
        error.size = int(size) if size.isdecimal() else None
    if isinstance(error, NoSuchKey) and answer.headers.get("x-amz-delete-marker") == "true":
        error.delete_marker = answer.headers.get("x-amz-version-id")
    return error


def _may_pass(method: str, answer: UpstreamResponse) -> bool:
    """Whether asking again may help: busy ones did nothing, and reads change nothing."""
    return answer.status in {429, 503} or (method in {"GET", "HEAD"} and answer.status in {500, 502, 504})
