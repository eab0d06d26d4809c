"""Every setting of the node in one frozen tree.

Where values come from, and which wins, is in `load`. Sizes are bytes, times are seconds.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the configuration: frozen, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretReference(Section):
    """Where a secret lies. Exactly one of the fields is given.

    `file`: a path; `env`: a variable's name; `name`: a file of that name in `$CREDENTIALS_DIRECTORY` or in
    `secrets_directory`.
    """

    file: Path | None = None
    env: str | None = None
    name: str | None = None


Secret = SecretStr | SecretReference


class Tls(Section):
    """One certificate; with several, the client's server name chooses. Files are taken up again when they change."""

    certificate: Path
    private_key: Path


class Listener(Section):
    """One port that clients connect to."""

    host: str = "127.0.0.1"
    port: Port = 9000
    protocol: Literal["s3"] = "s3"
    tls: tuple[Tls, ...] = ()


class S3Settings(Section):
    region: str = "us-east-1"
    domains: tuple[str, ...] = ()
    """Host names whose subdomains are bucket names (virtual-host style)."""
    external_urls: tuple[str, ...] = ()
    """URLs under which clients know this node; their hosts are tried when a signature is checked."""


class Cors(Section):
    """Browser origins that may call; no origins, no CORS."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "POST", "DELETE")
    headers: tuple[str, ...] = ("*",)
    expose: tuple[str, ...] = ("ETag", "x-amz-request-id", "x-amz-version-id", "Content-Range")
    max_age: int = 3600


class Gateway(Section):
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Gateway processes; 0 means one per available core."""
    listeners: tuple[Listener, ...] = (Listener(),)
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-Host and X-Forwarded-For are believed."""
    cors: Cors = Cors()
    drain_wait: Annotated[float, Field(ge=0)] = 5.0
    """Time between readiness turning false and the first connection being closed, for load balancers."""
    drain_limit: Seconds = 60.0
    """Longest time that running requests get to finish."""


class Limits(Section):
    """promises.md, Limits: each refuses or sheds, none waits without end."""

    connections: Count = 4096
    connections_per_address: Count = 512
    requests_in_flight: Count = 1024
    requests_per_key: Count = 256
    header_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    header_fields: Count = 100
    header_seconds: Seconds = 10.0
    tls_handshake_seconds: Seconds = 10.0
    body_idle_seconds: Seconds = 60.0
    keepalive_seconds: Seconds = 75.0
    keepalive_requests: Count = 100_000
    stream_buffer: Annotated[int, Field(ge=16 * 1024)] = 256 * 1024
    memory: Annotated[int, Field(ge=16 * 1024 * 1024)] = 256 * 1024 * 1024
    """Buffered bytes of one worker; new requests are shed from 80 % of it."""
    document_bytes: Count = 4 * 1024 * 1024
    document_depth: Count = 16
    failed_authentications_per_second: Count = 20
    """For one address; beyond it, requests that fail authentication are answered 503 before they are checked."""
    descriptors_percent: Annotated[int, Field(ge=10, le=100)] = 80


class Admin(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 9090
    bucket_labels: Count = 1000
    """Buckets that get their own label in metrics; further ones are counted as `other`."""
    probe_seconds: Seconds = 60.0
    probe_timeout: Seconds = 10.0


class AccessLog(Section):
    enabled: bool = False
    format: Literal["json", "aws", "combined"] = "json"
    path: Path | None = None
    """File to append to (reopened on SIGUSR1); none: standard output."""


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty", "journald"] = "auto"
    access: AccessLog = AccessLog()


class BackendSettings(Section):
    """One account at one place that stores objects."""

    kind: Literal["s3", "local", "memory"]
    endpoint: str = ""
    """`https://host[:port]`; empty means Amazon S3 in `region`."""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: Secret = SecretStr("")
    session_token: Secret = SecretStr("")
    addressing: Literal["path", "virtual"] = "path"
    checksum: Literal["crc64nvme", "crc32c", "md5", "none"] = "crc32c"
    root: str = ""
    """For `local`: the name of one of `local_roots`."""
    ca_file: Path | None = None
    proxy: str = ""
    connections: Count = 128
    waiting: Annotated[int, Field(ge=0)] = 256
    wait_seconds: Seconds = 1.0
    connect_seconds: Seconds = 5.0
    idle_seconds: Seconds = 60.0
    keepalive_seconds: Seconds = 4.0
    retry_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1


class BucketSettings(Section):
    """A bucket that a repository serves: `bucket` at `backend`, also found under the name `folder`."""

    backend: str
    bucket: str
    folder: str = ""


class KeySettings(Section):
    access_key: Annotated[str, Field(min_length=1, max_length=128)]
    secret_key: Secret
    access: Literal["READ", "WRITE", "ADMIN"] = "READ"
    buckets: tuple[str, ...] | None = None


class RepositorySettings(Section):
    protocol: Literal["s3"] = "s3"
    buckets: tuple[BucketSettings, ...] = ()
    accounts: tuple[str, ...] = ()
    """Backends of which every bucket is served."""
    keys: tuple[KeySettings, ...] = ()
    token_key: Secret | None = None
    """32 bytes in base64 that several nodes share; by default the node makes one in `state_directory`."""
    unattached_sources: bool = False


class Settings(Section):
    """The whole configuration."""

    state_directory: Path = Path("/var/lib/bridge-node")
    secrets_directory: Path | None = None
    local_roots: dict[str, Path] = {}
    """Directories that `local` backends may name."""
    gateway: Gateway = Gateway()
    s3: S3Settings = S3Settings()
    limits: Limits = Limits()
    admin: Admin = Admin()
    log: Log = Log()
    backends: dict[str, BackendSettings] = {}
    repositories: dict[str, RepositorySettings] = {}
