"""Each cloud as the tests of `platform/clouds` see it: an account, what it can do, and an independent opinion."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from bridge_node.platform.clouds import Account, Flags
from tests.cloud_servers import AzureServer
from tests.gcs_policies import Policies
from tests.platform.world import key_pair
from tests.servers import S3Server

SERVICE_ACCOUNT = "storage-admin@acme-project.iam.gserviceaccount.com"

Quirk = Literal["reads_are_not_guarded", "signatures_are_not_checked", "versions_do_not_keep_a_bucket"]

QUIRKS: dict[str, frozenset[Quirk]] = {
    "seaweedfs": frozenset({"versions_do_not_keep_a_bucket"}),
    "moto": frozenset({"signatures_are_not_checked"}),
    "gcs": frozenset({"reads_are_not_guarded", "signatures_are_not_checked"}),
    "azurite": frozenset(),
}
"""Where the servers of the tests are not the real thing; `test_clouds.py` proves each row."""


class Opinion(Protocol):
    """A client that shares nothing with the code under test."""

    def exists(self, bucket: str) -> bool: ...
    def put(self, bucket: str, key: str) -> None: ...
    def empty(self, bucket: str) -> None: ...
    def anonymous(self, bucket: str, key: str) -> str: ...


@dataclass(frozen=True)
class Subject:
    """`always` is how every bucket there is, `can` what else may be wished for."""

    name: str
    account: Account
    can: frozenset[str]
    opinion: Opinion
    always: Flags = field(default_factory=Flags)

    def has(self, quirk: Quirk) -> bool:
        return quirk in QUIRKS[self.name]


def _status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@dataclass(frozen=True)
class S3Opinion:
    server: S3Server

    def exists(self, bucket: str) -> bool:
        return bucket in {one["Name"] for one in self.server.client().list_buckets()["Buckets"]}

    def put(self, bucket: str, key: str) -> None:
        self.server.client().put_object(Bucket=bucket, Key=key, Body=b"x")

    def empty(self, bucket: str) -> None:
        client = self.server.client()
        found = client.list_object_versions(Bucket=bucket)
        for one in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])

    def anonymous(self, bucket: str, key: str) -> str:
        return f"{self.server.endpoint}/{bucket}/{key}"


@dataclass(frozen=True)
class GcsOpinion:
    policies: Policies

    def exists(self, bucket: str) -> bool:
        return _status_of(f"{self.policies.behind}/storage/v1/b/{bucket}") == 200

    def put(self, bucket: str, key: str) -> None:
        url = f"{self.policies.behind}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={key}"
        with urllib.request.urlopen(urllib.request.Request(url, b"x", method="POST"), timeout=10):
            pass

    def empty(self, bucket: str) -> None:
        url = f"{self.policies.behind}/storage/v1/b/{bucket}/o"
        with urllib.request.urlopen(url, timeout=10) as answer:
            names = [one["name"] for one in json.loads(answer.read()).get("items", ())]
        for name in names:
            with urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="DELETE"), timeout=10):
                pass

    def anonymous(self, bucket: str, key: str) -> str:
        return f"{self.policies.behind}/storage/v1/b/{bucket}/o/{key}?alt=media"


@dataclass(frozen=True)
class AzureOpinion:
    server: AzureServer

    @contextlib.contextmanager
    def _container(self, bucket: str) -> Iterator[Any]:
        credential = {"account_name": self.server.account, "account_key": self.server.key}
        with BlobServiceClient(self.server.url, credential=credential) as client:
            yield client.get_container_client(bucket)

    def exists(self, bucket: str) -> bool:
        with self._container(bucket) as container, contextlib.suppress(ResourceNotFoundError):
            container.get_container_properties()
            return True
        return False

    def put(self, bucket: str, key: str) -> None:
        with self._container(bucket) as container:
            container.upload_blob(key, b"x", overwrite=True)

    def empty(self, bucket: str) -> None:
        with self._container(bucket) as container:
            for blob in container.list_blobs():
                container.delete_blob(blob.name)

    def anonymous(self, bucket: str, key: str) -> str:
        return f"{self.server.url}/{bucket}/{key}"


def readable_by_anybody(subject: Subject, bucket: str, key: str) -> bool:
    return _status_of(subject.opinion.anonymous(bucket, key)) == 200


def seaweedfs_subject(server: S3Server) -> Subject:
    account = Account("s3", server.access_key, server.secret_key, server.endpoint, allow_private=True)
    return Subject("seaweedfs", account, frozenset(Flags.__slots__), S3Opinion(server))


def moto_subject(server: S3Server) -> Subject:
    account = Account("s3", server.access_key, server.secret_key, server.endpoint, allow_private=True)
    return Subject("moto", account, frozenset(Flags.__slots__), S3Opinion(server))


def gcs_subject(policies: Policies) -> Subject:
    account = Account("gcs", SERVICE_ACCOUNT, private_key_pem(), policies.endpoint, allow_private=True)
    can = frozenset({"versioning", "encryption", "public", "object_lock"})
    return Subject("gcs", account, can, GcsOpinion(policies), Flags(encryption=True))


def azurite_subject(server: AzureServer) -> Subject:
    account = Account("azure", server.account, server.key, server.endpoint, allow_private=True)
    return Subject(
        "azurite", account, frozenset({"encryption", "public"}), AzureOpinion(server), Flags(encryption=True)
    )


def private_key_pem() -> str:
    """A service account's key, as Google's files hold it."""
    return key_pair(7)[0]


SUBJECTS: dict[str, tuple[str, Callable[[Any], Subject]]] = {
    "seaweedfs": ("seaweedfs", seaweedfs_subject),
    "moto": ("moto", moto_subject),
    "gcs": ("gcs_policies", gcs_subject),
    "azurite": ("azurite", azurite_subject),
}
"""The fixture of each server, and what makes a subject of it."""
