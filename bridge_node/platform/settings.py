"""Every setting of the platform in one frozen tree, read as the node's own are: `bridge_node.settings`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from bridge_node.settings import Count, Location, Log, Port, Seconds, Secret, Section


class Issuer(Section):
    """Somebody whose tokens are believed about who a caller is; what the caller may do is in the database."""

    issuer: Annotated[str, Field(min_length=1, examples=["https://login.example.com"])]
    """The `iss` of its tokens."""
    audience: Annotated[str, Field(min_length=1, examples=["bridge-node"])]
    """The `aud` that they must name."""
    algorithm: Annotated[Literal["HS256", "RS256", "ES256", "Ed25519"], Field(examples=["RS256"])]
    """How they are signed; what a token says about that is not asked."""
    key: Annotated[Secret, Field(examples=[{"name": "ISSUER-KEY-FILE"}])]
    """Public key in PEM form; for HS256 a secret of at least 32 bytes."""


class PlatformLimits(Section):
    """What the platform accepts: each limit refuses, none waits without end."""

    body_bytes: Count = 1024 * 1024
    """Largest request body."""
    report_bytes: Count = 8 * 1024 * 1024
    """Largest status report, unpacked."""
    statement_seconds: Seconds = 5.0
    """Longest time for one statement of the database."""
    connections: Count = 20
    """Most connections to the database."""
    requests_per_second: Count = 50
    """For one user."""
    validations_per_minute: Count = 10
    """For one user; a bucket whose credentials are refused when it is declared counts as one."""
    validation_seconds: Seconds = 10.0
    """How long nodes have to try a bucket, and then the platform itself."""
    bad_signatures_per_minute: Count = 5
    """For one address; beyond it, plain node calls are refused before they are checked."""
    buckets: Count = 1000
    """Most buckets of one organisation."""
    repositories: Count = 1000
    """Most repositories of one organisation."""
    organisation_keys: Annotated[Count, Field(le=12)] = 5
    """Most keys of one organisation; the variable ORGKEYS_MAX sets it, too."""


class Statistics(Section):
    """How soon what nodes report is summed up, and how long it is kept."""

    rollup_seconds: Seconds = 900.0
    """How long minutes may wait to be summed up to hours and days. Answers count them in before, more slowly."""
    minutes_kept_days: Annotated[int, Field(ge=32)] = 35
    """How long minutes are kept: longer than the 30 days that a late report may take."""
    hours_kept_days: Annotated[int, Field(ge=33)] = 400
    """How long hours are kept."""
    days_kept_days: Annotated[int, Field(ge=0)] = 0
    """How long days are kept, of which totals are made; 0: for ever."""


class Metrics(Section):
    """Where Prometheus finds /metrics: a port of its own, which asks for no password."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; keep it off client networks."""
    port: Port = 0
    """Port to listen on; 0: there are no metrics."""


class VendorSecrets(Section):
    """What `/secrets` hands to nodes of other makers: the text of one dotenv file for each protocol they serve."""

    s3: Secret = SecretStr("")
    """For the S3 process."""
    gcs: Secret = SecretStr("")
    """For the GCS process."""
    blob: Secret = SecretStr("")
    """For the Azure Blob process."""


class PlatformSettings(Section):
    """The whole configuration."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one."""
    external_urls: tuple[str, ...] = ()
    """URLs under which nodes know this platform; they sign them. None: `http://host:port`."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-For is believed."""
    state_directory: Location = Path("/var/lib/bridge-node-platform")
    """Directory of the platform's own state: its SQLite database and, unless it is given, its master key."""
    secrets_directory: Annotated[Location | None, Field(examples=["/etc/bridge-node/secrets"])] = None
    """Where {name = …} secrets are looked for after $CREDENTIALS_DIRECTORY."""
    database: Secret = SecretStr("")
    """`postgresql://user:password@host/name` or `sqlite:///path`; none: `platform.sqlite` in `state_directory`."""
    master_key: Annotated[Secret | None, Field(examples=[{"name": "MASTER-KEY-FILE"}])] = None
    """32 bytes in base64 under which all secrets are stored; none: `master.key` in `state_directory`."""
    previous_master_keys: Annotated[tuple[Secret, ...], Field(examples=[[{"name": "OLD-MASTER-KEY-FILE"}]])] = ()
    """Keys that older secrets may still be stored under."""
    own_tokens: bool = True
    """Whether tokens made by `bridge-node platform token` are accepted."""
    issuers: tuple[Issuer, ...] = ()
    """Others whose tokens are accepted, each {issuer, audience, algorithm, key}."""
    enrolment: Literal["open", "approve"] = "open"
    """`open`: the organisation's key is enough for a node to enrol; `approve`: an administrator must agree, too."""
    lease_seconds: Seconds = 72 * 3600.0
    """How long a node may serve what it was given while it cannot reach the platform."""
    network_key: str = ""
    """Public key (PEM) of nodes that belong to no organisation; none: there are no such nodes."""
    node_domain: str = "nodes.local"
    """Where nodes are found that do not tell their URL: `https://s3-REGION-PROVIDER.DOMAIN`."""
    allow_private_endpoints: bool = False
    """Whether tenants' endpoints may be loopback, link-local or private addresses."""
    check_credentials: bool = True
    """Whether a bucket is tried before it is stored, or changed, over the API."""
    local_roots: tuple[str, ...] = ()
    """Names of nodes' `local_roots` that LOCAL buckets may use; none: there are no such buckets."""
    vendor_secrets: VendorSecrets = VendorSecrets()
    statistics: Statistics = Statistics()
    metrics: Metrics = Metrics()
    limits: PlatformLimits = PlatformLimits()
    log: Log = Log()

    @property
    def database_url(self) -> str:
        return self.database.get_secret_value() or f"sqlite:///{self.state_directory / 'platform.sqlite'}"
