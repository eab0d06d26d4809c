"""Asking a running node by its admin port, with nothing that is slow to import."""

import http.client

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - looked up, not bound to


def get(host: str, port: int, path: str, timeout: float) -> tuple[int, str]:
    """Status and text of an answer. `host` may be an address that only listeners use, such as 0.0.0.0.

    Raises OSError or http.client.HTTPException when there is no node to be asked.
    """
    connection = http.client.HTTPConnection(_EVERY_ADDRESS.get(host, host), port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def missing(readiness: str) -> list[str]:
    """What `/readyz?verbose` says is missing."""
    return [line.removeprefix("[-] ") for line in readiness.splitlines() if line.startswith("[-] ")]
