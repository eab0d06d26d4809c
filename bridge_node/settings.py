"""Every setting of the node in one frozen tree.

`configuration.load` says where values come from and which wins. Sizes are bytes, times are seconds. The docstring of
a setting is what `config/bridge-node.toml` and `docs/settings.md` say about it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret lies: a file's path, a variable's name, or the name of a file in the secrets directories."""

    kind: Literal["file", "env", "name"]
    value: str

    def __str__(self) -> str:
        return f"{{{self.kind} = {self.value}}}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What values are read against: the validation context that `configuration.load` gives to the models."""

    directory: Path
    """Where relative paths start."""
    lookup: Callable[[SecretReference], str]
    """The secret that a reference means; raises ValueError with the reason."""


@dataclass(frozen=True, slots=True)
class NeedsRestart:
    """Mark of a setting, or of a whole table, that a reload cannot take up."""


def _looked_up(value: object, info: ValidationInfo) -> object:
    """References become the secrets they mean; everything else is pydantic's to judge."""
    if not isinstance(value, Mapping):
        return value
    match list(value.items()):
        case [("file" | "env" | "name", str(target))] if not target.isprintable():
            raise ValueError("must not contain control characters")
        case [("file" | "env" | "name" as kind, str(target))] if isinstance(info.context, Surroundings):
            return info.context.lookup(SecretReference(kind, target))
    raise ValueError("must be text, {file = …}, {env = …} or {name = …}")


def _looked_up_if_there(value: object, info: ValidationInfo) -> object:
    try:
        return _looked_up(value, info)
    except ValueError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _absolute(path: Path, info: ValidationInfo) -> Path:
    if not str(path).isprintable():
        raise ValueError("must not contain control characters")
    return info.context.directory / path if isinstance(info.context, Surroundings) else path


Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Location = Annotated[Path, AfterValidator(_absolute)]
Secret = Annotated[SecretStr, BeforeValidator(_looked_up)]
PassingSecret = Annotated[SecretStr | None, BeforeValidator(_looked_up_if_there)]
"""A secret that may be taken away once it was used: a reference to a file that is gone means none."""


class Section(BaseModel):
    """A table of the configuration: frozen, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


AnySection = TypeVar("AnySection", bound=Section)


class Tls(Section):
    """One certificate; with several, the client's server name chooses. Files are taken up again when they change."""

    certificate: Annotated[Location, Field(examples=["/etc/bridge-node/tls.crt"])]
    """PEM file of the certificate and its chain."""
    private_key: Annotated[Location, Field(examples=["/etc/bridge-node/tls.key"])]
    """PEM file of its private key, without a passphrase; must not be readable by others."""


class Listener(Section):
    """One port that clients connect to."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; `0.0.0.0` or `::` means every one of this host."""
    port: Port = 9000
    """Port to listen on; 0 takes a free one."""
    protocol: Literal["s3"] = "s3"
    """What clients speak there."""
    tls: tuple[Tls, ...] = ()
    """Certificates, each {certificate, private_key}; none means plain HTTP."""


class S3Settings(Section):
    """What S3 clients are told about this node."""

    region: str = "us-east-1"
    """Region that clients sign for; another one is answered AuthorizationHeaderMalformed with this one."""
    domains: tuple[str, ...] = ()
    """Host names whose subdomains are bucket names (virtual-host style)."""
    external_urls: tuple[str, ...] = ()
    """URLs under which clients know this node; their hosts are tried when a signature is checked."""


class Cors(Section):
    """Browser origins that may call."""

    origins: tuple[str, ...] = ()
    """Origins, such as `https://app.example.com`, or `*`; none switches CORS off."""
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "POST", "DELETE")
    """Methods that a preflight allows."""
    headers: tuple[str, ...] = ("*",)
    """Request headers that a preflight allows."""
    expose: tuple[str, ...] = ("ETag", "x-amz-request-id", "x-amz-version-id", "Content-Range")
    """Response headers that scripts may read."""
    max_age: Annotated[int, Field(ge=0)] = 3600
    """How long browsers may keep a preflight's answer."""


class Gateway(Section):
    """Worker processes and the ports that they serve."""

    workers: Annotated[int, Field(ge=0, le=256), NeedsRestart()] = 0
    """Gateway processes; 0 means one per available core."""
    listeners: Annotated[tuple[Listener, ...], NeedsRestart()] = (Listener(),)
    """Ports that clients connect to."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-Host and X-Forwarded-For are believed."""
    drain_wait: Annotated[float, Field(ge=0)] = 5.0
    """Time between readiness turning false and the first connection being closed, for load balancers."""
    drain_limit: Seconds = 60.0
    """Longest time that running requests get to finish."""
    cors: Cors = Cors()


class Limits(Section):
    """What one worker accepts: each limit refuses or sheds, none waits without end."""

    connections: Count = 4096
    """Open client connections."""
    connections_per_address: Count = 512
    """Open connections of one client address."""
    requests_in_flight: Count = 1024
    """Requests being served; more are answered 503 SlowDown."""
    requests_per_key: Count = 256
    """Requests of one access key being served; more are answered 503 SlowDown."""
    header_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    """Longest request head."""
    header_fields: Count = 100
    """Most header fields of a request."""
    header_seconds: Seconds = 10.0
    """Longest time for a request's head to arrive."""
    tls_handshake_seconds: Seconds = 10.0
    """Longest TLS handshake."""
    body_idle_seconds: Seconds = 60.0
    """Longest silence within a body; whole bodies may take as long as they need."""
    keepalive_seconds: Seconds = 75.0
    """How long an idle client connection is kept; above the load balancer's own."""
    keepalive_requests: Count = 100_000
    """Requests after which a connection is closed."""
    stream_buffer: Annotated[int, Field(ge=16 * 1024)] = 256 * 1024
    """Bytes buffered for one stream before its sender is paused."""
    memory: Annotated[int, Field(ge=16 * 1024 * 1024)] = 256 * 1024 * 1024
    """Buffered bytes of one worker; new requests are shed from 80 % of it."""
    document_bytes: Count = 4 * 1024 * 1024
    """Largest XML or form document that a client may send."""
    document_depth: Count = 16
    """Deepest nesting of an XML document."""
    failed_authentications_per_second: Count = 20
    """For one address; beyond it, requests that fail authentication are answered 503 before they are checked."""
    descriptors_percent: Annotated[int, Field(ge=10, le=100)] = 80
    """Share of the process's file descriptors from which new requests are shed."""


class Admin(Section):
    """The operator's port: /healthz, /readyz, /metrics, /status."""

    enabled: Annotated[bool, NeedsRestart()] = True
    """Whether the port is opened."""
    host: Annotated[str, Field(min_length=1), NeedsRestart()] = "127.0.0.1"
    """Address to listen on. It asks for no password: keep it off client networks."""
    port: Annotated[Port, NeedsRestart()] = 9090
    """Port to listen on; 0 takes a free one."""
    bucket_labels: Count = 1000
    """Buckets that get their own label in metrics; further ones are counted as `other`."""
    probe_seconds: Seconds = 60.0
    """Time between two probes of a backend."""
    probe_timeout: Seconds = 10.0
    """Longest time for a backend to answer a probe."""


class AccessLog(Section):
    """One line per request, apart from the node's own log."""

    enabled: bool = False
    """Whether it is written."""
    format: Literal["json", "aws", "combined"] = "json"
    """`json`, `aws` (S3 server access log) or `combined` (as web servers write)."""
    path: Annotated[Location | None, Field(examples=["/var/log/bridge-node/access.log"])] = None
    """File to append to (reopened on SIGUSR1); none: standard output."""


class Log(Section):
    """The node's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["auto", "json", "pretty", "journald"] = "auto"
    """`auto` is `pretty` on a terminal, `journald` under systemd, else `json`."""
    access: AccessLog = AccessLog()


class BackendSettings(Section):
    """One account at one place that stores objects."""

    kind: Annotated[Literal["s3", "local", "memory"], Field(examples=["s3"])]
    """`s3` (any S3-compatible service), `local` (a directory) or `memory` (gone at exit; one worker only)."""
    endpoint: str = ""
    """`https://host[:port]`; empty means Amazon S3 in `region`."""
    region: str = "us-east-1"
    """Region that requests to the backend are signed for."""
    access_key: str = ""
    """Access key id at the backend."""
    secret_key: Secret = SecretStr("")
    """Its secret."""
    session_token: Secret = SecretStr("")
    """Session token of temporary credentials."""
    addressing: Literal["path", "virtual"] = "path"
    """`path` (host/bucket/key) or `virtual` (bucket.host/key)."""
    checksum: Literal["crc64nvme", "crc32c", "md5", "none"] = "crc32c"
    """Digest that the node adds to writes for which the client declared none."""
    root: str = ""
    """For `local`: the name of one of `local_roots`."""
    ca_file: Annotated[Location | None, Field(examples=["/etc/bridge-node/ca.pem"])] = None
    """PEM file of the certificate authorities to trust; none: the system's."""
    proxy: str = ""
    """`http://host:port` of an outgoing proxy."""
    proxy_login: Secret = SecretStr("")
    """`user:password` for the proxy."""
    connections: Count = 128
    """Most connections of a worker to this backend."""
    waiting: Annotated[int, Field(ge=0)] = 256
    """Most requests of a worker waiting for a connection; more are answered 503 SlowDown."""
    wait_seconds: Seconds = 1.0
    """Longest wait for a connection."""
    connect_seconds: Seconds = 5.0
    """Longest time to connect, TLS included."""
    idle_seconds: Seconds = 60.0
    """Longest silence of the backend within an exchange."""
    keepalive_seconds: Seconds = 4.0
    """How long an idle connection is kept; below the backend's own limit."""
    retry_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Most retries, as a share of requests."""


class BucketSettings(Section):
    """A bucket that a repository serves."""

    backend: Annotated[str, Field(min_length=1, examples=["NAME"])]
    """The backend's name in `backends`."""
    bucket: Annotated[str, Field(min_length=1, examples=["BUCKET"])]
    """The bucket's name there."""
    folder: str = ""
    """A second name under which clients find it."""
    id: str = ""
    """Its id on a platform that gives no configuration; only buckets with one are reported there."""


class KeySettings(Section):
    """A repository's credential."""

    access_key: Annotated[str, Field(min_length=1, max_length=128, examples=["ACCESS-KEY-ID"])]
    """Access key id; `bridge-node key generate` makes one."""
    secret_key: Annotated[Secret, Field(examples=[{"name": "SECRET-FILE"}])]
    """Its secret, at least 16 characters."""
    access: Literal["READ", "WRITE", "ADMIN"] = "READ"
    """`READ`; `WRITE` reads too; `ADMIN` may also make and delete buckets of accounts."""
    buckets: Annotated[tuple[str, ...] | None, Field(examples=[["BUCKET"]])] = None
    """Names of the only buckets that it may use; none: all of the repository."""


class RepositorySettings(Section):
    """What an application addresses: buckets, and the keys that open them."""

    protocol: Literal["s3"] = "s3"
    """What its clients speak."""
    buckets: tuple[BucketSettings, ...] = ()
    """Buckets that it serves."""
    accounts: tuple[str, ...] = ()
    """Backends of which every bucket is served."""
    keys: tuple[KeySettings, ...] = ()
    """Credentials of its clients."""
    token_key: Annotated[Secret | None, Field(examples=[{"name": "TOKEN-KEY-FILE"}])] = None
    """32 bytes in base64 that several nodes share; by default the node makes one in `state_directory`."""
    unattached_sources: bool = False
    """Whether copies may read buckets of its backends that are not attached."""


class Platform(Section):
    """The platform that the node belongs to; without `url` the node stands alone."""

    url: str = ""
    """`https://host[:port]` of the platform; plain HTTP only on loopback."""
    ca_file: Annotated[Location | None, Field(examples=["/etc/bridge-node/platform-ca.pem"])] = None
    """PEM file of the certificate authorities to trust for it; none: the system's."""
    organisation: str = ""
    """Id of the organisation that the node belongs to."""
    organisation_key: Annotated[PassingSecret, Field(examples=[{"file": "/etc/bridge-node/organisation.pem"}])] = None
    """The organisation's private key (PEM), to enrol; afterwards `bridge-node node forget-org-key` takes it away."""
    platform_keys: Annotated[Location | None, Field(examples=["/etc/bridge-node/platform-keys.json"])] = None
    """JWK set of the platform's keys; none: those that it shows when the node enrols are trusted from then on."""
    node_id: str = ""
    """Name of this node within its organisation; empty: its address towards the platform when it first enrols."""
    region: str = "us-east-1"
    """Region that the node says it stands in."""
    provider: str = ""
    """Cloud that the node says it runs on, such as `AWS`."""
    external_url: str = ""
    """URL under which applications reach this node, for the platform's list of nodes."""
    allow_private_addresses: bool = False
    """Whether buckets of the platform may lie at loopback, private or link-local addresses."""
    local_roots: tuple[str, ...] = ()
    """Names of `local_roots` that buckets of the platform may lie in."""
    lease_limit: Seconds = 7 * 24 * 3600.0
    """Longest time to serve what the platform gave while it is away; the platform itself may allow less."""
    report_seconds: Seconds = 60.0
    """Time between two reports of statuses and usage."""
    poll_seconds: Annotated[float, Field(ge=0, le=55)] = 55.0
    """How long the platform may let a question for changes wait."""
    call_timeout: Seconds = 15.0
    """Longest time for the platform to answer, beyond what it may wait."""
    retry_limit: Seconds = 300.0
    """Longest pause between two attempts to reach the platform."""
    spool_days: Annotated[float, Field(gt=0)] = 7.0
    """How long reports are kept that the platform does not take."""
    spool_bytes: Annotated[int, Field(ge=64 * 1024)] = 256 * 1024 * 1024
    """Most bytes of such reports; beyond it the oldest minutes are merged into hours."""
    unregister_on_drain: bool = False
    """Whether the node leaves the platform's list when it stops; it stays enrolled."""


class Settings(Section):
    """The whole configuration."""

    state_directory: Annotated[Location, NeedsRestart()] = Path("/var/lib/bridge-node")
    """Directory that the node keeps its own state in."""
    secrets_directory: Annotated[Location | None, Field(examples=["/etc/bridge-node/secrets"])] = None
    """Where {name = …} secrets are looked for after $CREDENTIALS_DIRECTORY."""
    local_roots: Annotated[dict[str, Location], Field(examples=[{"disk": "/srv/objects"}])] = {}
    """Directories that `local` backends may name: name = path."""
    gateway: Gateway = Gateway()
    s3: S3Settings = S3Settings()
    limits: Limits = Limits()
    admin: Admin = Admin()
    log: Log = Log()
    platform: Annotated[Platform, NeedsRestart()] = Platform()
    backends: dict[str, BackendSettings] = {}
    """Places that store objects, by name."""
    repositories: dict[str, RepositorySettings] = {}
    """What applications address, by name."""


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """The changed settings, dotted, that a reload cannot take up: they keep their old values until a restart."""
    return list(_changed(old, new))


def keep_until_restart(old: AnySection, new: AnySection) -> AnySection:
    """`new`, with the old values of what a reload cannot take up."""
    kept: dict[str, object] = {}
    for name, field in type(old).model_fields.items():
        before: object = getattr(old, name)
        if any(isinstance(mark, NeedsRestart) for mark in field.metadata):
            kept[name] = before
        elif isinstance(before, Section):
            kept[name] = keep_until_restart(before, getattr(new, name))
    return new.model_copy(update=kept)


def _changed(old: Section, new: Section, prefix: str = "") -> Iterator[str]:
    for name, field in type(old).model_fields.items():
        before: Any = getattr(old, name)
        after: Any = getattr(new, name)
        if any(isinstance(mark, NeedsRestart) for mark in field.metadata):
            if before != after:
                yield prefix + name
        elif isinstance(before, Section):
            yield from _changed(before, after, f"{prefix}{name}.")
