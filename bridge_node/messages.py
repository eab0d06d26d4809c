"""What node and platform say to each other: shapes, bounds, encoding (flashback-platform-api.md §5, node-protocol.md).

Reading is tolerant where the contract's callers differ (two names of one field, numbers as text) and strict about
bounds; writing has one form. Times are ISO 8601 in UTC on the wire unless a field says otherwise.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

PROTOCOL_VERSION = 1
PROTOCOL_HEADER = "Bridge-Protocol"
LONGEST_WAIT = 55
"""Seconds that a long poll may hang at most."""

Text = Annotated[str, Field(max_length=1024)]
Name = Annotated[str, Field(min_length=1, max_length=253)]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[int, Field(ge=0, lt=2**63)]
RawTimestamp = Annotated[str, BeforeValidator(str), Field(max_length=64)]
"""A timestamp exactly as it was sent, because it is part of a signed text."""
NodeStatusWord = Literal["ONLINE", "OFFLINE", "DISCONNECTED"]


class BadMessage(ValueError):
    """A message that cannot be read; the text names the first field that is wrong and quotes no value."""


class Message(BaseModel):
    """One message or part of one. Unknown fields are ignored (node-protocol.md §6)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads JSON; numbers keep the text they were sent as until a field wants a number. Raises BadMessage."""
        try:
            return cls.model_validate(json.loads(data, parse_float=str, parse_constant=_refuse))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            raise BadMessage(f"{where or 'message'}: {first['msg']}") from error
        except (ValueError, RecursionError) as error:
            raise BadMessage("not a JSON document") from error

    def encode(self) -> bytes:
        """Compact JSON by wire names; absent optional fields are left out."""
        return json.dumps(self.plain(), separators=(",", ":"), ensure_ascii=False).encode()

    def plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


class NodeKeys(Message):
    """Public halves of the node's own keys, as JWK: Ed25519 to sign with, X25519 to be sealed to."""

    sign: dict[str, Text]
    seal: dict[str, Text]


class SignedText(Message):
    """The contract's common fields. Enrolled nodes leave `timestamp` and `signature` out."""

    ip: Name
    region: Text | None = None
    timestamp: RawTimestamp | None = None
    signature: Annotated[str, Field(max_length=4096)] | None = None
    id_org: Identifier | None = Field(default=None, validation_alias=AliasChoices("id_org", "org_id"))


class Registration(SignedText):
    """`POST /register` (contract §5.1), with our `nodeKeys` when a node enrols."""

    version: Text = ""
    status: Text = "running"
    provider: Text | None = None
    node_services: Annotated[int, Field(ge=0, le=255)] = Field(default=1, alias="nodeServices")
    url: Text | None = None
    node_id: Name | None = Field(default=None, alias="nodeId")
    node_keys: NodeKeys | None = Field(default=None, alias="nodeKeys")


class RegistrationAnswer(Message):
    success: bool
    message: Text = ""
    platform_keys: dict[str, Any] | None = Field(default=None, alias="platformKeys")
    """JWK set of Ed25519 public keys, given to nodes that enrol."""
    enrolment: Literal["enrolled", "waiting"] | None = None


class BucketStatus(Message):
    """One probe's outcome."""

    bucket_id: Identifier = Field(
        validation_alias=AliasChoices("unitId", "bucketId", "bucket_id"), serialization_alias="unitId"
    )
    status: NodeStatusWord
    latency_ms: Annotated[float, Field(ge=0, lt=1e9)] | None = Field(
        default=None, validation_alias=AliasChoices("latencyMs", "latency_ms"), serialization_alias="latencyMs"
    )
    created_at: Text = Field(alias="createdAt")


class UsageRow(Message):
    """What moved in one minute for one (repository, bucket, access key); additive. `minute` is epoch seconds."""

    minute: Amount
    repo_id: Identifier = Field(alias="repoId")
    bucket_id: Identifier = Field(alias="bucketId")
    api_key_id: Identifier = Field(alias="apiKeyId")
    protocol: Identifier
    requests: Amount = 0
    errors: Amount = 0
    upl_bytes: Amount = 0
    dwl_bytes: Amount = 0
    size_change: Annotated[int, Field(gt=-(2**63), lt=2**63)] = 0
    estimated: bool = False
    latency_ms: Amount = 0
    """Sum over the row's requests, in milliseconds."""
    host: Text = ""


class StatusReport(SignedText):
    """`POST /status` (contract §5.3) with usage. The same `batchId` is counted once, however often it is sent."""

    buckets: Annotated[tuple[BucketStatus, ...], Field(max_length=10_000)] = ()
    usage: Annotated[tuple[UsageRow, ...], Field(max_length=100_000)] = ()
    batch_id: Identifier | None = Field(default=None, alias="batchId")


class ConfigRequest(Message):
    """`POST /node/config`: what the node has, and how long the platform may keep it waiting for something new."""

    known: Annotated[dict[Identifier, Digest], Field(max_length=10_000)] = {}
    wait_seconds: Annotated[int, Field(ge=0, le=LONGEST_WAIT)] = Field(default=0, alias="waitSeconds")


class SealedDocument(Message):
    id: Identifier
    digest: Digest
    sealed: str


class Task(Message):
    """Something the platform asks the node to do once. Kinds that a node does not know it answers `unsupported`.

    A `probe` tries the bucket that is attached under the id `bucket`, or else the `PlaceDocument` in `sealed`, which is
    sealed for this node under the task's id.
    """

    id: Identifier
    kind: Identifier
    repository: Identifier | None = None
    bucket: Identifier | None = None
    sealed: Annotated[str, Field(max_length=200_000)] | None = None


class TaskResult(Message):
    """`POST /node/result`."""

    id: Identifier
    status: Literal["ONLINE", "DISCONNECTED", "unsupported"]
    latency_ms: Annotated[float, Field(ge=0, lt=1e9)] | None = Field(default=None, alias="latencyMs")
    message: Text = ""


class ConfigAnswer(Message):
    """The payload of the platform's signed answer. `version` never falls; times are epoch milliseconds."""

    org: Text
    node: Name
    version: Amount
    issued_at: Amount = Field(alias="issuedAt")
    not_after: Amount = Field(default=0, alias="notAfter")
    serves: dict[Identifier, Digest] = {}
    documents: tuple[SealedDocument, ...] = ()
    removed: tuple[Identifier, ...] = ()
    tasks: tuple[Task, ...] = ()
    revoked: bool = False


class BackendDocument(Message):
    """How a node reaches one account; `secret` is in clear only inside a sealed document."""

    kind: Literal["s3", "gcs", "azure", "local"]
    endpoint: Text = ""
    region: Text = ""
    key: Text = ""
    secret: Annotated[str, Field(max_length=65_536)] = ""
    root: Text = ""
    """For `local`: the operator's name of one of its roots, never a path."""


class PlaceDocument(Message):
    """A bucket that may be in no repository, and how it is reached: what a task asks to try."""

    backend: BackendDocument
    bucket: Text


class AttachmentDocument(Message):
    """A bucket of the repository, or a whole account (`account`, without `bucket`)."""

    id: Identifier
    backend: BackendDocument
    bucket: Text = ""
    folder: Text = ""
    master: bool = False
    account: bool = False
    options: dict[str, Any] = {}


class KeyDocument(Message):
    """An access key: `id` is the platform's, `key` is what clients send."""

    id: Identifier
    key: Identifier
    secret: Annotated[str, Field(max_length=65_536)]
    access: Literal["READ", "WRITE", "READWRITE", "ADMIN"]
    buckets: tuple[Text, ...] | None = None


class RightsKeyDocument(Message):
    """An access key by its rights alone, none of which implies another. What a node does not know of them, it does not
    grant; nodes that do not know this form do not know the key."""

    id: Identifier
    key: Identifier
    secret: Annotated[str, Field(max_length=65_536)]
    rights: tuple[Text, ...]
    buckets: tuple[Text, ...] | None = None


class RepositoryDocument(Message):
    """One repository with all that a node needs to serve it: the content of a sealed document."""

    id: Identifier
    name: Text
    protocol: Literal["S3", "GCS", "BLOB"]
    mode: Literal["NORMAL", "MIRROR"] = "NORMAL"
    disabled: bool = False
    token_key: str = Field(alias="tokenKey")
    previous_token_key: str = Field(default="", alias="previousTokenKey")
    attachments: tuple[AttachmentDocument, ...] = ()
    keys: tuple[KeyDocument, ...] = ()
    keys_by_rights: tuple[RightsKeyDocument, ...] | None = Field(default=None, alias="keysByRights")
    options: dict[str, Any] = {}


def digest(document: bytes) -> str:
    """How both sides name the content of an opened document: SHA-256 in hex."""
    return hashlib.sha256(document).hexdigest()
