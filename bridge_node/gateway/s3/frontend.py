"""S3 as a client protocol of the gateway."""

import time

from bridge_node.body import BytesSource
from bridge_node.catalog import Catalog
from bridge_node.errors import SignatureMismatch, UnknownAccessKey
from bridge_node.gateway.frontend import Caller, WithDocument
from bridge_node.gateway.http import Clock, HttpFault, Request, Response
from bridge_node.gateway.proxies import Proxies
from bridge_node.gateway.s3.addressing import Addressing
from bridge_node.gateway.s3.auth import Authenticator, FailureLimit, Hosts
from bridge_node.gateway.s3.cors import CorsPolicy
from bridge_node.gateway.s3.forms import caller_of_form, is_form
from bridge_node.gateway.s3.requests import Parser
from bridge_node.gateway.s3.responses import KEEP_WARM_SECONDS, Renderer
from bridge_node.operations import Operation
from bridge_node.protocols.s3.sigv4 import is_presigned
from bridge_node.settings import Gateway, Limits, S3Settings


class S3Frontend:
    """Implements `Frontend`. `clock` gives epoch seconds."""

    protocol = "s3"

    def __init__(
        self,
        settings: S3Settings,
        gateway: Gateway,
        limits: Limits,
        clock: Clock = time.time,
        *,
        keep_warm: float = KEEP_WARM_SECONDS,
    ) -> None:
        self._clock = clock
        self._proxies = Proxies(gateway.trusted_proxies)
        self._failures = FailureLimit(limits.failed_authentications_per_second, clock)
        self._addressing = Addressing(settings.domains)
        self._authenticator = Authenticator(settings.region, Hosts(settings.external_urls, self._proxies), clock)
        self._parser = Parser(self._addressing, settings.region, limits.document_depth)
        self._renderer = Renderer(settings.region, clock, keep_warm=keep_warm)
        self._cors = CorsPolicy(gateway.cors)
        self._has_cors = bool(gateway.cors.origins)

    def preflight(self, request: Request) -> Response | None:
        """Browsers' preflights, and `/health` for whoever carries no credentials (a bucket may have that name)."""
        if request.method == "OPTIONS":
            return self._cors.preflight(request)
        if request.path == "/health" and "authorization" not in request.headers and not is_presigned(request.query):
            headers = [("x-amz-request-id", request.id), ("Content-Type", "text/plain")]
            return Response(200, headers, BytesSource(b"ok\n"))
        return None

    async def authenticate(self, request: Request, catalog: Catalog) -> Caller:
        if self._failures:
            self._failures.check(self._proxies.client_of(request))
        try:
            if is_form(request):
                return await caller_of_form(request, catalog, self._authenticator, self._addressing, self._clock)
            return self._authenticator.caller(request, catalog)
        except (UnknownAccessKey, SignatureMismatch):
            self._failures.count(self._proxies.client_of(request))
            raise

    def parse(self, request: Request, caller: Caller) -> Operation | WithDocument:
        return self._parser.parse(request, caller)

    def render(self, request: Request, operation: Operation, outcome: object) -> Response:
        return self._with_cors(request, self._renderer.render(request, operation, outcome))

    def render_error(self, request: Request, error: BaseException, operation: Operation | None) -> Response:
        return self._with_cors(request, self._renderer.error(request, error, operation))

    def render_fault(self, fault: HttpFault, request_id: str) -> Response:
        return self._renderer.fault(fault, request_id)

    def _with_cors(self, request: Request, response: Response) -> Response:
        if self._has_cors:
            response.headers += self._cors.headers(request)
        return response
