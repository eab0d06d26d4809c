"""What all operations of one account share."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from bridge_node.backends.base import Capabilities, Observer
from bridge_node.backends.connection import UpstreamResponse
from bridge_node.backends.s3.bodies import Outgoing, outgoing
from bridge_node.backends.s3.client import Client
from bridge_node.backends.s3.headers import Headers, checksum_of, etag_of, writing
from bridge_node.backends.transport import Transport
from bridge_node.catalog import BackendSpec
from bridge_node.errors import (
    BackendFailure,
    BackendMisbehaved,
    BadDigest,
    BridgeError,
    MalformedDocument,
    OutcomeUnknown,
)
from bridge_node.objects import NO_CONDITIONS, Conditions, Stored
from bridge_node.operations import PutObject, StagePart
from bridge_node.protocols.s3.documents import ErrorDocument
from bridge_node.protocols.s3.errors import from_wire

_T = TypeVar("_T")
_WRONG_DIGEST = ("_BadDigest", "_XAmzContentChecksumMismatch")


class Account:
    """`clock` gives epoch seconds; `sleep` and `rng` are for back-off, `transport` stands in for one of its own."""

    def __init__(
        self,
        spec: BackendSpec,
        *,
        observer: Observer,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._client = Client(spec, observer, now=clock, sleep=sleep, rng=rng, transport=transport)
        self._spec = spec
        self._observer = observer
        self._clock = clock
        self._trailers = spec.checksum in {"crc32c", "crc64nvme"}
        """Whether the store knows S3's newer checksums, behind a body too (checklist 12)."""
        self._added = None if spec.checksum == "none" else spec.checksum
        """The digest that the node adds to bodies for which the client declared none."""
        # Stores that do not know If-Match on deletes ignore it, which would break promise 4; Amazon knows it.
        self.capabilities = Capabilities(versions=True, conditional_delete=self._client.amazon)

    async def close(self) -> None:
        await self._client.transport.close()

    async def _upload(
        self,
        operation: str,
        bucket: str,
        op: PutObject | StagePart,
        asked: Headers,
        *,
        conditions: Conditions = NO_CONDITIONS,
        added: str | None,
        query: str = "",
        absent: type[BridgeError] | None = None,
    ) -> tuple[UpstreamResponse, Outgoing]:
        """Sends the body of `op`; a digest of the client's that the store does not find is the client's fault."""
        try:
            headers = asked + writing(conditions)
            body = await outgoing(op, added=added, trailers=self._trailers)
            answer = await self._client.done(
                operation, "PUT", bucket, op.key,
                query=query, headers=headers + body.headers, body=body.source, payload=body.payload, absent=absent,
            )  # fmt: skip
        except BaseException as error:
            op.source.abort(error)
            if (
                isinstance(error, BackendMisbehaved)
                and (op.md5 or op.checksum)
                and error.reason.endswith(_WRONG_DIGEST)
            ):
                raise BadDigest(reason=error.reason) from error
            raise
        return answer, body

    async def _read(self, reader: Callable[[bytes], _T], answer: UpstreamResponse) -> _T:
        """A document that only tells something; one that cannot be read is the backend's fault."""
        try:
            return reader(await self._client.document(answer))
        except MalformedDocument as error:
            raise BackendMisbehaved(reason="malformed_document") from error

    async def _result(self, reader: Callable[[bytes], Stored | ErrorDocument], answer: UpstreamResponse) -> Stored:
        """What a write did whose answer is a document: an error may stand in a 200 (checklist 51)."""
        try:
            found = reader(await self._client.document(answer))
        except (BackendFailure, MalformedDocument) as error:
            raise OutcomeUnknown(reason="result_lost") from error
        if isinstance(found, ErrorDocument):
            raise from_wire(500, found.code, found.message, found.extra, written=True)
        return replace(found, pin=found.etag, version_id=answer.headers.get("x-amz-version-id"))

    def _stored(self, answer: UpstreamResponse, body: Outgoing) -> Stored:
        """What a write of a body did, which its digests have been compared with."""
        etag = etag_of(answer.headers)
        kept = checksum_of(answer.headers)
        if kept is None and body.digest is not None and body.digest.algorithm != "md5":
            kept = body.digest
        return Stored(etag, etag, answer.headers.get("x-amz-version-id"), self._clock(), kept, body.size)
