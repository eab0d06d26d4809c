"""What fake-gcs-server leaves out of a bucket: who may see it, and whether its objects can be locked.

Stands before it on loopback, keeps both as Google documents them, hands everything else on, and remembers what came by.
https://cloud.google.com/storage/docs/json_api/v1/buckets
"""

import contextlib
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
_POLICY = re.compile(r"/storage/v1/b/([^/]+)/iam")


@dataclass
class Policies:
    """`endpoint` is this; `behind` is fake-gcs-server."""

    endpoint: str
    behind: str
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the server behind forgets of each bucket."""
    access: dict[str, dict[str, Any]] = field(default_factory=dict)
    deaf: bool = False
    """Whether changes of access are answered and not kept."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Methods and paths."""
    authorizations: set[str] = field(default_factory=set)


@contextlib.contextmanager
def before(fake_gcs: str) -> Iterator[Policies]:
    policies = Policies("", fake_gcs)

    class Handler(_Handler):
        shared = policies

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        policies.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="gcs policies", daemon=True)
        thread.start()
        yield policies
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    shared: Policies
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names are the library's

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        self.shared.seen.append((self.command, url.path))
        self.shared.authorizations.add(self.headers.get("authorization", ""))
        policy, bucket = _POLICY.fullmatch(url.path), _BUCKET.fullmatch(url.path)
        if policy:
            self._access(policy[1], body)
        elif url.path == "/storage/v1/b" and self.command == "POST":
            self._created(url.query, body)
        elif bucket:
            self._of_bucket(bucket[1], body)
        else:
            self._send(*self._behind(body))

    def _access(self, bucket: str, body: bytes) -> None:
        status, answer = self._behind(b"", "GET", f"/storage/v1/b/{bucket}")
        if status != 200:
            self._send(status, answer)
            return
        if self.command == "PUT" and not self.shared.deaf:
            self.shared.access[bucket] = json.loads(body)
        policy = self.shared.access.get(bucket) or {"version": 1, "bindings": []}
        self._send(200, json.dumps({"kind": "storage#policy", "etag": "CAE=", **policy}).encode())

    def _created(self, query: str, body: bytes) -> None:
        wanted = json.loads(body)
        status, answer = self._behind(body)
        if status == 200:
            locked = parse_qs(query).get("enableObjectRetention", [""])[0].lower() == "true"
            kept = {"objectRetention": {"mode": "Enabled"}} if locked else {}
            self.shared.kept[wanted["name"]] = {**kept, "iamConfiguration": wanted.get("iamConfiguration", {})}
            self.shared.access.pop(wanted["name"], None)
        self._send(status, answer)

    def _of_bucket(self, bucket: str, body: bytes) -> None:
        status, answer = self._behind(body)
        if status == 200 and self.command == "PATCH":
            self.shared.kept.setdefault(bucket, {}).update(
                {name: value for name, value in json.loads(body).items() if name == "iamConfiguration"}
            )
        if status == 200 and self.command != "DELETE":
            answer = json.dumps({**json.loads(answer), **self.shared.kept.get(bucket, {})}).encode()
        self._send(status, answer)

    def _behind(self, body: bytes, method: str = "", path: str = "") -> tuple[int, bytes]:
        request = urllib.request.Request(
            self.shared.behind + (path or self.path), body or None, method=method or self.command
        )
        if self.headers.get("content-type"):
            request.add_header("Content-Type", self.headers["content-type"])
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
