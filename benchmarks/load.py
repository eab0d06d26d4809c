"""wrk with signed requests: the load on whatever is measured."""

import datetime
import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer

LUA = """
local paths = {paths}
local headers = {headers}
local body = nil
{body}

if #paths == 1 then  -- wrk then formats the request only once
    wrk.method, wrk.path, wrk.headers, wrk.body = "{method}", paths[1], headers[1], body
else
    local requests, turn = {{}}, 0
    function init(arguments)
        for i = 1, #paths do requests[i] = wrk.format("{method}", paths[i], headers[i], body) end
    end
    function request()
        turn = turn % #requests + 1
        return requests[turn]
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        "RESULT {{\\"requests\\": %d, \\"seconds\\": %f, \\"refused\\": %d, \\"broken\\": %d}}\\n",
        summary.requests, summary.duration / 1e6, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request: `paths` are asked for in turn, over `connections` kept-alive connections."""

    method: str
    paths: tuple[str, ...]
    body: Path | None
    hashed: bool
    connections: int


@dataclass(frozen=True, slots=True)
class Done:
    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def run(load: Load, host: str, signer: Signer, *, core: int, seconds: float, script: Path) -> Done:
    """Loads `host` (`address:port`) from one core; raises RuntimeError unless every answer was a success."""
    script.write_text(_lua(load, host, signer))
    command = ["taskset", "--cpu-list", str(core), "wrk", "--threads", "1", "--timeout", "30s"]
    command += ["--connections", str(load.connections), "--duration", f"{max(1, round(seconds))}s"]
    command += ["--script", str(script), f"http://{host}"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=True).stdout
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"wrk gave no result:\n{output}")
    result = json.loads(lines[0].removeprefix("RESULT "))
    if result["refused"] or result["broken"]:
        raise RuntimeError(f"not every request at {host} succeeded: {result} ({load.method} {load.paths[0]})")
    if not result["requests"]:  # too short for a single one to end
        return run(load, host, signer, core=core, seconds=4 * seconds, script=script)
    return Done(result["requests"], result["seconds"])


def signed_headers(load: Load, host: str, signer: Signer) -> list[dict[str, str]]:
    """The headers of one request for each path; they are good for 15 minutes.

    The body of a PUT is covered by its SHA-256 when `load.hashed`, else it is announced as unsigned.
    """
    payload = UNSIGNED_PAYLOAD
    if load.hashed and load.body is not None:
        payload = hashlib.sha256(load.body.read_bytes()).hexdigest()
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return [dict(signer.sign(load.method, path, "", [("Host", host)], payload, now)) for path in load.paths]


def _lua(load: Load, host: str, signer: Signer) -> str:
    tables = [
        _table([f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()])
        for headers in signed_headers(load, host, signer)
    ]
    return LUA.format(
        method=load.method,
        paths=_table([json.dumps(path) for path in load.paths]),
        headers=_table(tables),
        body=f'body = io.open({json.dumps(str(load.body))}, "rb"):read("*a")' if load.body else "",
    )


def _table(items: Sequence[str]) -> str:
    return "{" + ", ".join(items) + "}"
