"""Cross-origin requests: which browser pages may call, as the node's configuration says.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html and https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from bridge_node.errors import AccessDenied, InvalidRequest
from bridge_node.gateway.http import Request, Response
from bridge_node.protocols.http import is_field_value
from bridge_node.settings import Cors

Headers = list[tuple[str, str]]

_VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


class CorsPolicy:
    """Origins and headers may contain one `*` each."""

    def __init__(self, cors: Cors) -> None:
        self._cors = cors
        self._headers = tuple(name.lower() for name in cors.headers)
        self._expose = ", ".join(cors.expose)

    def preflight(self, request: Request) -> Response:
        """The answer to OPTIONS; raises InvalidRequest for one that is no preflight, AccessDenied for a refusal."""
        origin = request.headers.get("origin")
        method = request.headers.get("access-control-request-method")
        if origin is None or method is None:
            raise InvalidRequest(
                "Insufficient information. Origin request header needed.", reason="options_without_origin"
            )
        wanted = [name.strip() for name in request.headers.get("access-control-request-headers", "").split(",")]
        wanted = [name for name in wanted if name]
        if not (self._allows(origin) and method in self._cors.methods and all(map(self._allows_header, wanted))):
            raise AccessDenied(
                "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, "
                "request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted "
                "by the resource's CORS spec.",
                reason="cors_refused",
            )
        headers = [
            ("x-amz-request-id", request.id),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Methods", ", ".join(self._cors.methods)),
            ("Access-Control-Max-Age", str(self._cors.max_age)),
            _VARY,
        ]
        if wanted:
            headers.append(("Access-Control-Allow-Headers", ", ".join(wanted)))
        return Response(200, headers)

    def headers(self, request: Request) -> Headers:
        """What an ordinary answer carries, errors too: a page may read it only with them."""
        if not self._cors.origins:
            return []
        origin = request.headers.get("origin")
        if origin is None or not self._allows(origin):
            return [_VARY]
        allowed = [("Access-Control-Allow-Origin", origin), _VARY]
        return [*allowed, ("Access-Control-Expose-Headers", self._expose)] if self._expose else allowed

    def _allows(self, origin: str) -> bool:
        return is_field_value(origin) and any(_matches(pattern, origin) for pattern in self._cors.origins)

    def _allows_header(self, name: str) -> bool:
        return is_field_value(name) and any(_matches(pattern, name.lower()) for pattern in self._headers)


def _matches(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
