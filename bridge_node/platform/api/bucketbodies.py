"""What clients say of a bucket, and the bucket that comes of it (contract §§1.2, 1.7, 1.9)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from bridge_node.messages import PlaceDocument
from bridge_node.platform import credentials, documents
from bridge_node.platform.credentials import Destination, Problem
from bridge_node.platform.endpoints import normalised
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.fields import Identifier, Name, SecretText, ShortText, StorageType
from bridge_node.platform.reaching import DEFAULT_REGION
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.vault import Vault

_PEM = "-----BEGIN"
_PROVIDER_KEY = AliasChoices("apiKeyUuid", "apiKeyId")


class BucketFields(BaseModel):
    """What is left out, or null, is not said."""

    bucket: ShortText | None = None
    storage_type: StorageType | None = Field(default=None, validation_alias="storageType")
    key: ShortText | None = None
    secret: SecretText | None = Field(default=None, repr=False)
    endpoint: ShortText | None = None
    region: ShortText | None = None
    project_id: ShortText | None = Field(default=None, validation_alias="projectId")
    provider_key_id: ShortText | None = Field(default=None, validation_alias=_PROVIDER_KEY)

    @property
    def names_credentials(self) -> bool:
        return bool(self.secret or self.provider_key_id)


class NewBucket(BucketFields):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Media",
                    "bucket": "media-eu",
                    "storageType": "S3",
                    "workspaceId": "WORKSPACE-ID",
                    "key": "ACCESS-KEY-ID",
                    "secret": "SECRET",
                    "region": "eu-west-1",
                    "endpoint": "https://s3.example.net",
                }
            ]
        }
    )

    name: Name
    bucket: ShortText
    storage_type: StorageType = Field(validation_alias="storageType")
    workspace_id: Identifier = Field(validation_alias="workspaceId")
    wallet_address: ShortText = Field(default="", validation_alias="walletAddress")


class BucketChange(BucketFields):
    name: Name | None = None
    workspace_id: Identifier | None = Field(default=None, validation_alias="workspaceId")
    wallet_address: ShortText | None = Field(default=None, validation_alias="walletAddress")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bucket as it is, or would be. Its credentials are its own, or those of `provider_key`."""

    storage_type: str = ""
    bucket: str = ""
    key: str = ""
    secret: str = field(default="", repr=False)
    endpoint: str = ""
    region: str = ""
    project_id: str = ""
    provider_key: ProviderKey | None = None

    @classmethod
    def stored(cls, bucket: Bucket, provider_key: ProviderKey | None, vault: Vault) -> "Wanted":
        """Raises VaultError."""
        return cls(
            bucket.storage_type,
            bucket.bucket,
            bucket.key,
            bucket.secret(vault),
            bucket.endpoint,
            bucket.region,
            bucket.project_id,
            provider_key,
        )

    def with_(self, said: BucketFields, provider_key: ProviderKey | None) -> "Wanted":
        """What is said in place of what is here; an empty secret says nothing.

        `provider_key` is the one that is said; a secret of the bucket's own takes its place, and the other way round.
        Raises BadRequest for an endpoint that is none, or that a secret which is kept may not be used at.
        """
        wanted = self._with(said, provider_key)
        if self.secret and wanted.secret == self.secret and not said.secret:
            _refuse(credentials.problems_of_kept_secret(self.destination, wanted.destination))
        return wanted

    @property
    def destination(self) -> Destination:
        return Destination(self.storage_type, self.endpoint)

    def _with(self, said: BucketFields, provider_key: ProviderKey | None) -> "Wanted":
        names = ("storage_type", "bucket", "key", "region", "project_id")
        given = {name: value for name in names if (value := getattr(said, name)) is not None}
        wanted = replace(self, **given)
        if said.endpoint is not None:
            wanted = replace(wanted, endpoint=_endpoint(said.endpoint, wanted.storage_type))
        elif (wanted.storage_type == "LOCAL") is not (self.storage_type == "LOCAL"):
            wanted = replace(wanted, endpoint="")  # a root is no address, and no address is a root
        if provider_key is not None:
            return replace(wanted, provider_key=provider_key, key="", secret=said.secret or "")
        if said.secret or said.provider_key_id == "":
            return replace(wanted, provider_key=None, secret=said.secret or self.secret)
        return replace(wanted, key="") if wanted.provider_key else wanted

    def require_allowed(self, settings: PlatformSettings) -> None:
        """Raises BadRequest for the first rule that does not hold."""
        declared = credentials.Bucket(
            storage_type=self.storage_type,
            bucket=self.bucket,
            key=self.key,
            secret=self.secret,
            endpoint=self.endpoint,
            provider=self.provider_key.provider if self.provider_key else None,
            provider_endpoint=self.provider_key.endpoint if self.provider_key else "",
        )
        _refuse(credentials.problems_of_bucket(declared, settings))

    def place(self, vault: Vault) -> PlaceDocument:
        """For whoever tries it. Raises VaultError."""
        through = self.provider_key
        return PlaceDocument(
            backend=documents.backend(
                self.storage_type,
                endpoint=self.endpoint or (through.endpoint if through else ""),
                region=self.region or (through.region if through else ""),
                key=through.key if through else self.key,
                secret=through.secret(vault) if through else self.secret,
            ),
            bucket=self.bucket,
        )

    def columns(self) -> dict[str, Any]:
        """As the store has them, but for the secret."""
        return {
            "storage_type": self.storage_type,
            "bucket": self.bucket,
            "key": self.key,
            "endpoint": self.endpoint,
            "region": self.region,
            "project_id": self.project_id,
            "provider_key_id": self.provider_key.id if self.provider_key else None,
        }


def _refuse(problems: Iterable[Problem]) -> None:
    for problem in problems:
        name = {"provider_key": "apiKeyUuid"}.get(problem.field, problem.field)
        raise BadRequest(f"{name}: {problem.message}" if name else problem.message)


def new(said: NewBucket, provider_key: ProviderKey | None) -> Wanted:
    """Raises BadRequest."""
    wanted = Wanted().with_(said, provider_key)
    if wanted.storage_type == "S3" and not wanted.region and not (provider_key and provider_key.region):
        return replace(wanted, region=DEFAULT_REGION)
    return wanted


def unsaved(said: BucketFields, provider_key: ProviderKey | None) -> Wanted:
    """A bucket that is only to be tried; who does not say its type is taken at what the credentials look like.

    Raises BadRequest.
    """
    if not said.bucket:
        raise BadRequest("bucket: Field required")
    return Wanted(storage_type=_likely_type(said.secret or "", provider_key)).with_(said, provider_key)


def _likely_type(secret: str, provider_key: ProviderKey | None) -> str:
    if provider_key is not None:
        return provider_key.storage_type or "S3"
    return "GCS" if _PEM in secret else "S3"


def _endpoint(text: str, storage_type: str) -> str:
    """Of a LOCAL bucket, it is the name of a root."""
    if storage_type == "LOCAL":
        return text.strip()
    try:
        return normalised(text)
    except ValueError as error:
        raise BadRequest(f"endpoint: {error}") from error
