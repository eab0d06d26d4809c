"""Containers at Azure Blob Storage, by azure-storage-blob.

Azure encrypts everything. Versions and locks belong to the whole storage account or are set by its resource manager,
which a storage key does not open: here they are read, and a wish for them is refused.
"""

import binascii
import ipaddress
import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import PublicAccess
from azure.storage.blob.aio import BlobServiceClient

from bridge_node.errors import (
    BackendBusy,
    BackendMisbehaved,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    BridgeError,
    BucketNotEmpty,
    BucketOwnedByCaller,
    InvalidBucketName,
    NoSuchBucket,
    NotSupported,
)
from bridge_node.platform.clouds.base import Account, Flags
from bridge_node.platform.clouds.reach import CONNECT_SECONDS, SILENCE_SECONDS, http_session

platform.platform()
"""Asked by every client of the SDK; the first to ask reads files, which the import of this file may do."""

_MEANINGS: dict[str, type[BridgeError]] = {
    "ContainerNotFound": NoSuchBucket,
    "ContainerAlreadyExists": BucketOwnedByCaller,
    "ContainerBeingDeleted": BackendBusy,
    "InvalidResourceName": InvalidBucketName,
    "OutOfRangeInput": InvalidBucketName,
    "PublicAccessNotPermitted": NotSupported,
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": NotSupported,
    "ServerBusy": BackendBusy,
}
_OF_STATUS: dict[int, type[BridgeError]] = {401: BackendRefused, 403: BackendRefused, 503: BackendBusy}


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator["AzureCloud"]:
    transport = AioHttpTransport(session=http_session(account), session_owner=True)
    client = BlobServiceClient(
        _url(account),
        credential={"account_name": account.key, "account_key": account.secret},
        transport=transport,
        retry_total=0,
        permit_redirects=False,
        connection_timeout=CONNECT_SECONDS,
        read_timeout=SILENCE_SECONDS,
    )
    async with client:
        yield AzureCloud(client)


def _url(account: Account) -> str:
    """An emulator has its accounts in the path, because its host is an address or has no domain."""
    if not account.endpoint:
        return f"https://{account.key}.blob.core.windows.net"
    host = urlsplit(account.endpoint).hostname or ""
    return f"{account.endpoint}/{account.key}" if _is_address(host) or "." not in host else account.endpoint


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class AzureCloud:
    """See `Cloud`."""

    def __init__(self, client: BlobServiceClient) -> None:
        self._client = client

    async def head(self, bucket: str) -> None:
        await self._properties(bucket)

    async def make(self, bucket: str, *, object_lock: bool) -> None:
        if object_lock:
            raise NotSupported("Locks are set in Azure itself, for the container.", reason="object_lock")
        with _mapped():
            await self._client.create_container(bucket)

    async def status(self, bucket: str) -> Flags:
        found = await self._properties(bucket)
        locked = bool(found.immutable_storage_with_versioning_enabled)
        return Flags(versioning=locked, encryption=True, public=bool(found.public_access), object_lock=locked)

    async def set_versioning(self, bucket: str, *, on: bool) -> None:
        raise NotSupported("Versions are switched in Azure itself, for the storage account.", reason="versioning")

    async def set_encryption(self, bucket: str, *, on: bool) -> None:
        if not on:
            raise NotSupported("Azure encrypts every container.", reason="always_encrypted")

    async def set_public(self, bucket: str, *, on: bool) -> None:
        """Keeps the stored access policies, which are set by the same call."""
        container = self._client.get_container_client(bucket)
        with _mapped():
            before = await container.get_container_access_policy()
            policies = {one.id: one.access_policy for one in before["signed_identifiers"]}
            await container.set_container_access_policy(policies, public_access=PublicAccess.BLOB if on else None)

    async def remove(self, bucket: str) -> None:
        """Looks first: Azure takes a container away with everything in it."""
        container = self._client.get_container_client(bucket)
        with _mapped():
            async for _ in container.list_blobs(include=["versions", "snapshots"], results_per_page=1):
                raise BucketNotEmpty
            await container.delete_container()

    async def _properties(self, bucket: str) -> Any:
        with _mapped():
            return await self._client.get_container_client(bucket).get_container_properties()


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except HttpResponseError as error:
        raise _meaning(error) from error
    except (ServiceRequestTimeoutError, ServiceResponseTimeoutError) as error:
        raise BackendTimeout("The cloud did not answer in time.") from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise BackendUnreachable("The cloud cannot be reached.") from error
    except binascii.Error as error:
        raise BackendRefused("The account's key cannot be used.", reason="malformed_credentials") from error
    except AzureError as error:
        raise BackendMisbehaved("The cloud's answer cannot be read.") from error


def _meaning(error: HttpResponseError) -> BridgeError:
    code = getattr(error, "error_code", None)
    meaning = _MEANINGS.get(str(getattr(code, "value", code) or "")) or _OF_STATUS.get(error.status_code or 0)
    if meaning is NotSupported:
        return NotSupported("The storage account does not allow that.", reason="not_allowed_by_the_account")
    if meaning is None and isinstance(error, ClientAuthenticationError):
        meaning = BackendRefused
    return meaning() if meaning else BackendMisbehaved("The cloud refuses.", reason="refused")
