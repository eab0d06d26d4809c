"""Where buckets may lie: what tenants write as an endpoint (promise 19).

A host's name is judged by nodes when they connect, as only then it is known what it means; an address is judged here.
"""

from urllib.parse import urlsplit

from bridge_node.backends.dialing import is_public


def normalised(endpoint: str) -> str:
    """`scheme://host[:port]`; a bare host gets `https`. Raises ValueError for anything that is not an origin."""
    text = endpoint.strip().rstrip("/")
    if not text:
        return ""
    if not text.isprintable() or " " in text:
        raise ValueError("must be a host or https://host[:port]")
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username is not None:
        raise ValueError("must be a host or https://host[:port]")
    if parts.path or parts.query or parts.fragment or parts.netloc.endswith(":"):
        raise ValueError("must be a host or https://host[:port], without a path")
    try:
        parts.port  # noqa: B018 - raises where it is no number, or none that a port can have
    except ValueError as error:
        raise ValueError("has no usable port") from error
    return f"{parts.scheme}://{parts.netloc.lower()}"


def is_private(endpoint: str) -> bool:
    """Whether an endpoint names this host, or an address that the public network does not reach."""
    host = (urlsplit(endpoint).hostname or "").rstrip(".")
    looks_like_an_address = ":" in host or host.replace(".", "").isdigit() or host.startswith("0x")
    return host == "localhost" or host.endswith(".localhost") or (looks_like_an_address and not is_public(host))
