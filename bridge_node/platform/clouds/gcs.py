"""Buckets at Google Cloud Storage, by google-cloud-storage, which blocks: each call runs in a thread with a deadline.

The service account's key signs the tokens itself (self-signed JWTs, https://google.aip.dev/auth/4111), so that no
address for tokens is asked or believed. Google encrypts every bucket, and cannot be told not to.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import requests
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client
from google.oauth2.service_account import Credentials
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from bridge_node.errors import (
    BackendBusy,
    BackendMisbehaved,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    BucketExists,
    BucketNotEmpty,
    InvalidBucketName,
    NoSuchBucket,
    NotSupported,
)
from bridge_node.platform.clouds.base import Account, Flags
from bridge_node.platform.clouds.reach import CONNECT_SECONDS, SILENCE_SECONDS, public_address

ENDPOINT = "https://storage.googleapis.com"
TOKEN_ADDRESS = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, which a key must name and nobody asks
SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
READERS = "roles/storage.objectViewer"
EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
_PROJECT = re.compile(r"[^@]+@([a-z0-9.:-]+)\.iam\.gserviceaccount\.com|(\d+)-compute@developer\.gserviceaccount\.com")
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="gcs")
"""Not those that everything else uses: a cloud that is silent may hold all of these, and nothing more."""
_ONCE: dict[str, Any] = {"timeout": (CONNECT_SECONDS, SILENCE_SECONDS), "retry": None}

_T = TypeVar("_T")


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator["GcsCloud"]:
    client = await _in_thread(lambda: _client(account))
    try:
        yield GcsCloud(client, account.region)
    finally:
        client.close()


async def _in_thread(work: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


def _client(account: Account) -> Client:
    identity = {"client_email": account.key, "private_key": account.secret, "token_uri": TOKEN_ADDRESS}
    try:
        credentials = Credentials.from_service_account_info(identity, scopes=[SCOPE])  # type: ignore[no-untyped-call] # not typed by its authors
    except (ValueError, GoogleAuthError) as error:
        raise BackendRefused("The private key cannot be read.", reason="malformed_credentials") from error
    session = AuthorizedSession(credentials.with_always_use_jwt_access(True))  # type: ignore[no-untyped-call] # as above
    session.trust_env = False
    session.max_redirects = 0
    if not account.allow_private:
        adapter = _PublicAdapter()
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    endpoint = account.endpoint or ENDPOINT
    return Client(_project(account.key), credentials, _http=session, client_options={"api_endpoint": endpoint})


def _project(email: str) -> str:
    """In which new buckets are made: the one that the service account belongs to. Empty where its name does not say."""
    found = _PROJECT.fullmatch(email)
    return (found.group(1) or found.group(2)) if found else ""


class GcsCloud:
    """See `Cloud`."""

    def __init__(self, client: Client, region: str) -> None:
        self._client = client
        self._region = region

    async def head(self, bucket: str) -> None:
        await _in_thread(lambda: self._get(bucket))

    async def make(self, bucket: str, *, object_lock: bool) -> None:
        await _in_thread(lambda: self._make(bucket, object_lock))

    async def status(self, bucket: str) -> Flags:
        return await _in_thread(lambda: self._status(bucket))

    async def set_versioning(self, bucket: str, *, on: bool) -> None:
        await _in_thread(lambda: self._set_versioning(bucket, on))

    async def set_encryption(self, bucket: str, *, on: bool) -> None:
        if not on:
            raise NotSupported("Google Cloud Storage encrypts every bucket.", reason="always_encrypted")

    async def set_public(self, bucket: str, *, on: bool) -> None:
        await _in_thread(lambda: self._set_public(bucket, on))

    async def remove(self, bucket: str) -> None:
        await _in_thread(lambda: self._remove(bucket))

    def _get(self, bucket: str) -> Any:
        with _mapped():
            return self._client.get_bucket(bucket, **_ONCE)

    def _make(self, bucket: str, object_lock: bool) -> None:
        if not self._client.project:
            raise NotSupported("The service account's e-mail names no project for new buckets.", reason="no_project")
        made = self._client.bucket(bucket)
        made.iam_configuration.uniform_bucket_level_access_enabled = True
        made.versioning_enabled = object_lock
        with _mapped(conflict=BucketExists):
            made.create(location=self._region or None, enable_object_retention=object_lock, **_ONCE)

    def _status(self, bucket: str) -> Flags:
        found = self._get(bucket)
        prevented = found.iam_configuration.public_access_prevention == "enforced"
        with _mapped():
            policy = found.get_iam_policy(requested_policy_version=3, **_ONCE)
        return Flags(
            versioning=bool(found.versioning_enabled),
            encryption=True,
            public=not prevented and any(EVERYBODY & set(binding["members"]) for binding in policy.bindings),
            object_lock=found.object_retention_mode == "Enabled",
        )

    def _set_versioning(self, bucket: str, on: bool) -> None:
        found = self._get(bucket)
        found.versioning_enabled = on
        with _mapped():
            found.patch(**_ONCE)

    def _set_public(self, bucket: str, on: bool) -> None:
        found = self._get(bucket)
        with _mapped():
            if on and found.iam_configuration.public_access_prevention == "enforced":
                found.iam_configuration.public_access_prevention = "inherited"
                found.patch(**_ONCE)
            policy = found.get_iam_policy(requested_policy_version=3, **_ONCE)
            policy.version = 3
            policy.bindings = [one for one in map(_without_everybody, policy.bindings) if one["members"]]
            if on:
                policy.bindings = [*policy.bindings, {"role": READERS, "members": {"allUsers"}}]
            found.set_iam_policy(policy, **_ONCE)

    def _remove(self, bucket: str) -> None:
        with _mapped(conflict=BucketNotEmpty):
            self._client.bucket(bucket).delete(**_ONCE)


def _without_everybody(binding: dict[str, Any]) -> dict[str, Any]:
    return {**binding, "members": set(binding["members"]) - EVERYBODY}


@contextmanager
def _mapped(conflict: type[BucketExists | BucketNotEmpty] | None = None) -> Iterator[None]:
    """`conflict` is what a 409 means here: Google says it in words only."""
    try:
        yield
    except exceptions.NotFound as error:
        raise NoSuchBucket from error
    except (exceptions.Unauthorized, exceptions.Forbidden, GoogleAuthError) as error:
        raise BackendRefused from error
    except (exceptions.Conflict, exceptions.PreconditionFailed) as error:
        raise (conflict or BackendBusy) from error
    except exceptions.BadRequest as error:
        raise (InvalidBucketName if conflict is BucketExists else BackendMisbehaved) from error
    except (exceptions.TooManyRequests, exceptions.ServiceUnavailable) as error:
        raise BackendBusy from error
    except exceptions.GoogleAPIError as error:
        raise BackendMisbehaved("The cloud refuses.", reason="refused") from error
    except requests.Timeout as error:
        raise BackendTimeout("The cloud did not answer in time.") from error
    except (requests.ConnectionError, OSError) as error:
        raise BackendUnreachable("The cloud cannot be reached.") from error
    except (requests.RequestException, ValueError) as error:
        raise BackendMisbehaved("The cloud's answer cannot be read.") from error


# --- where it may connect to ----------------------------------------------------------------------------------------


class _Checked:
    """A connection to the very address that was looked at, under the name that was asked for."""

    def _new_conn(self: Any) -> Any:
        try:
            address = public_address(self.host, self.port)
            return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error


class _CheckedHttp(_Checked, HTTPConnection):
    pass


class _CheckedHttps(_Checked, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHttps


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
