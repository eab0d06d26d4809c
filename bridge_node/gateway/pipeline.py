"""The way of every request: authenticate → parse → authorise → run → render → record.

One pipeline serves every client protocol; its `Frontend` says how the protocol is read and written.
"""

import asyncio

import structlog

from bridge_node.body import read_all
from bridge_node.catalog import CatalogHolder
from bridge_node.errors import ClientGone, TooLarge
from bridge_node.gateway.authorization import authorize
from bridge_node.gateway.fairness import KeyLimit
from bridge_node.gateway.frontend import Caller, Exchange, Frontend, WithDocument
from bridge_node.gateway.http import HttpFault, Request, Responder, Response
from bridge_node.gateway.places import Places, Pool
from bridge_node.gateway.recording import AccessLog, Record
from bridge_node.gateway.routing import Router
from bridge_node.objects import ObjectStream
from bridge_node.operations import Access, Operation
from bridge_node.settings import Limits
from bridge_node.usage import UsageSink

log = structlog.get_logger()

PATIENCE_SECONDS = 3.0
"""How long a slow operation may take before its answer begins without it (checklist 51)."""


class Pipeline:
    """Implements `http.Handler`. `close` waits for work that outlives its request."""

    def __init__(
        self,
        frontend: Frontend,
        holder: CatalogHolder,
        pool: Pool,
        sink: UsageSink,
        limits: Limits,
        *,
        access_log: AccessLog | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._frontend = frontend
        self._holder = holder
        self._router = Router(Places(pool))
        self._sink = sink
        self._access_log = access_log
        self._key_limit = KeyLimit(limits.requests_per_key)
        self._document_bytes = limits.document_bytes
        self._patience = patience
        self._works: set[asyncio.Task[object]] = set()

    async def answer(self, request: Request, responder: Responder) -> None:
        record = Record(request, self._frontend.protocol)
        try:
            try:
                response = await self._respond(request, record)
            except Exception as error:
                response = self._refuse(request, record, error)
            await self._send(response, responder, record)
        finally:
            self._record(record)

    async def _respond(self, request: Request, record: Record) -> Response:
        early = self._frontend.preflight(request)
        if early is not None:
            return early
        caller = await self._frontend.authenticate(request, self._holder.current)
        self._key_limit.enter(caller.key.id)
        record.admitted(caller)
        asked = self._frontend.parse(request, caller)
        if isinstance(asked, Exchange):
            return asked.answer()
        operation = asked.operation if isinstance(asked, WithDocument) else asked
        record.asked(operation)
        authorize(caller.key, caller.repository, operation)
        record.allowed(operation)
        if isinstance(asked, WithDocument):
            operation = asked.finish(await read_all(caller.body, self._document_bytes, TooLarge()))
            record.asked(operation)
        outcome = await self._run(caller, operation, record)
        return self._render(request, operation, outcome)

    async def _run(self, caller: Caller, operation: Operation, record: Record) -> object:
        """The outcome, or a Future of one that takes its time."""
        if operation.slow:
            return await self._begin(caller, operation, record)
        outcome = await self._router.run(caller.key, caller.repository, operation)
        if operation.access is Access.WRITE:
            record.changed(outcome)
        return outcome

    async def _begin(self, caller: Caller, operation: Operation, record: Record) -> object:
        """Lets an operation run beside its request, which cancels it when the client goes, unless it is detached."""
        running = self._router.run(caller.key, caller.repository, operation)
        task = asyncio.get_running_loop().create_task(running, name=f"{record.usage.operation} {record.request.id}")
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        record.work = task
        work = asyncio.shield(task) if operation.detached else task
        try:
            await asyncio.wait((work,), timeout=self._patience)
        except asyncio.CancelledError:
            work.cancel()
            raise
        return work.result() if work.done() else work

    def _render(self, request: Request, operation: Operation, outcome: object) -> Response:
        try:
            return self._frontend.render(request, operation, outcome)
        except Exception as error:
            if isinstance(outcome, ObjectStream):
                outcome.source.abort(error)
            raise

    def _refuse(self, request: Request, record: Record, error: BaseException) -> Response:
        response = self._frontend.render_error(request, error, record.operation)
        record.failed(error, response)
        return response

    async def _send(self, response: Response, responder: Responder, record: Record) -> None:
        record.answered(response)
        try:
            await responder.send(response, record.sent)
        except ClientGone:
            raise
        except Exception as error:
            if response.body is not None:
                response.body.abort(error)
            refusal = self._refuse(record.request, record, error)
            if record.sent.bytes:
                return  # the responder has broken the connection: that is the answer
            record.answered(refusal)
            await responder.send(refusal, record.sent)

    def _record(self, record: Record) -> None:
        """Hands the request's usage over, once for each: now, or when the work that it began is done."""
        record.ended()
        if record.work is None:
            self._hand_over(record)
        elif record.work.done():
            self._settle(record)
        else:
            record.work.add_done_callback(lambda _: self._settle(record))

    def _settle(self, record: Record) -> None:
        work = record.work
        if work is not None and not work.cancelled():
            error = work.exception()
            if error is None:
                record.changed(work.result())
            elif not record.error_code:
                record.error_code = self._refuse(record.request, record, error).error
        self._hand_over(record)

    def _hand_over(self, record: Record) -> None:
        self._sink.record(record.usage)
        if self._access_log is not None:
            self._access_log.write(record.request, record.usage, record.error_code)
        if record.usage.access_key:
            self._key_limit.leave(record.usage.access_key)

    def fault(self, fault: HttpFault, request_id: str, peer: str) -> Response:
        response = self._frontend.render_fault(fault, request_id)
        log.info("request_unreadable", request_id=request_id, peer=peer, status=response.status, reason=fault.reason)
        return response

    async def close(self) -> None:
        """Waits for operations whose clients have gone."""
        while self._works:
            await asyncio.wait(self._works)
