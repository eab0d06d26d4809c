"""Who asks: Signature Version 4 in the header, in the query or in a form, held against the catalog.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from bridge_node.body import ByteSource
from bridge_node.catalog import AccessKey, Catalog, Repository
from bridge_node.errors import (
    AccessDenied,
    ClockSkewed,
    MalformedCredentials,
    Overloaded,
    RequestExpired,
    SignatureMismatch,
    UnknownAccessKey,
    WrongRegion,
)
from bridge_node.gateway.frontend import Caller
from bridge_node.gateway.http import Clock, Request
from bridge_node.gateway.proxies import Proxies
from bridge_node.gateway.s3.addressing import without_port
from bridge_node.protocols.http import parse_query
from bridge_node.protocols.s3 import sigv4
from bridge_node.protocols.s3.payload import verified_body
from bridge_node.protocols.s3.sigv4 import HEADER_MALFORMED, Authorization, SigningKey, SigningKeys
from bridge_node.protocols.s3.xml import iso_date

MAX_SKEW = 15 * 60


class Hosts:
    """Under which names clients may know this node: proxies drop ports, end TLS and rewrite hosts (checklist 18)."""

    def __init__(self, external_urls: Sequence[str], proxies: Proxies) -> None:
        self._external = tuple(urlsplit(url).netloc for url in external_urls)
        self._proxies = proxies

    def others(self, request: Request) -> Iterator[str]:
        """Hosts that the client may have signed instead of the one that was received, each once."""
        received = request.headers.get("host", "")
        bare = without_port(received)
        forwarded = self._proxies.forwarded_host(request)
        seen = {received}
        for host in (bare, f"{bare}:{request.local_port}", forwarded, *self._external):
            if host and host not in seen:
                seen.add(host)
                yield host


class FailureLimit:
    """Failed authentications of one address within one second; beyond `per_second` nothing of it is checked."""

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._second = 0
        self._failures: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether any address has failed of late."""
        return bool(self._failures)

    def check(self, address: str) -> None:
        """Raises Overloaded while `address` has failed too often."""
        if self._failures.get(address, 0) >= self._per_second:
            self._turn()
            if self._failures:
                raise Overloaded(reason="failed_authentications")

    def count(self, address: str) -> None:
        self._turn()
        self._failures[address] = self._failures.get(address, 0) + 1

    def _turn(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._failures = {}


class Claimant(NamedTuple):
    """Who a request says it is from, as the catalog knows it; the signature is still to be checked."""

    key: AccessKey
    repository: Repository
    signing: SigningKey


class Authenticator:
    """Establishes callers. `clock` gives epoch seconds."""

    def __init__(self, region: str, hosts: Hosts, clock: Clock) -> None:
        self._region = region
        self._hosts = hosts
        self._clock = clock
        self._signing_keys = SigningKeys()

    def caller(self, request: Request, catalog: Catalog) -> Caller:
        """The caller of a request signed in its header or query; raises AuthenticationFailed as AWS would."""
        auth = sigv4.parse(request.query, request.headers)
        self._check_time(auth)
        if auth.region != self._region and not _asks_for_the_region(request, auth):
            raise self._wrong_region(auth)
        claimant = self._claimant(auth, catalog)
        host = self._signed_host(request, auth, claimant)
        return Caller(claimant.key, claimant.repository, _body(request, auth, claimant.signing), host)

    def signer_of(self, auth: Authorization, text: bytes, catalog: Catalog) -> Claimant:
        """Who signed `text`, a form's policy, whose time is checked elsewhere; raises AuthenticationFailed."""
        if auth.region != self._region:
            raise self._wrong_region(auth)
        claimant = self._claimant(auth, catalog)
        if not hmac.compare_digest(claimant.signing.sign(text), auth.signature):
            raise SignatureMismatch(AWSAccessKeyId=auth.access_key)
        return claimant

    def _wrong_region(self, auth: Authorization) -> WrongRegion:
        message = f"the region '{auth.region}' is wrong; expecting '{self._region}'"
        return WrongRegion(f"The authorization header is malformed; {message}", Region=self._region)

    def _claimant(self, auth: Authorization, catalog: Catalog) -> Claimant:
        if auth.service != "s3":
            message = f'incorrect service "{auth.service}". This endpoint belongs to "s3".'
            raise MalformedCredentials(f"The authorization header is malformed; {message}", reason=HEADER_MALFORMED)
        key = catalog.keys.get(auth.access_key)
        repository = catalog.repositories.get(key.repository) if key is not None else None
        if key is None or repository is None or repository.protocol != "s3":
            raise UnknownAccessKey(AWSAccessKeyId=auth.access_key)
        secret = key.secret.get_secret_value()
        return Claimant(key, repository, self._signing_keys.get(key.id, secret, auth.date, auth.region))

    def _check_time(self, auth: Authorization) -> None:
        now = self._clock()
        ahead = auth.timestamp - now
        if auth.expires is None:
            if abs(ahead) > MAX_SKEW:
                raise ClockSkewed(
                    RequestTime=auth.amz_date,
                    ServerTime=iso_date(now),
                    MaxAllowedSkewMilliseconds=str(MAX_SKEW * 1000),
                )
        elif ahead > MAX_SKEW:
            raise AccessDenied("Request is not valid yet", reason="presigned_for_later", ServerTime=iso_date(now))
        elif -ahead > auth.expires:
            until = iso_date(auth.timestamp + auth.expires)
            expiry = {"X-Amz-Expires": str(auth.expires), "Expires": until, "ServerTime": iso_date(now)}
            raise RequestExpired(**expiry)

    def _signed_host(self, request: Request, auth: Authorization, claimant: Claimant) -> str:
        """The host that makes the signature right; raises SignatureMismatch when none does."""
        received = request.headers.get("host", "")
        canonical = _canonical(request, auth, received)
        if _agrees(auth, claimant, canonical):
            return received
        for host in self._hosts.others(request):
            if _agrees(auth, claimant, _canonical(request, auth, host)):
                return host
        error = SignatureMismatch(AWSAccessKeyId=auth.access_key)
        error.evidence = {
            "canonical_sha256": hashlib.sha256(canonical).hexdigest(),
            "signed_headers": ";".join(auth.signed_headers),
        }
        raise error


def _canonical(request: Request, auth: Authorization, host: str) -> bytes:
    return sigv4.canonical_request(request.method, request.path, request.query, request.headers, auth, host)


def _agrees(auth: Authorization, claimant: Claimant, canonical: bytes) -> bool:
    return hmac.compare_digest(sigv4.signature(claimant.signing, auth, canonical), auth.signature)


def _asks_for_the_region(request: Request, auth: Authorization) -> bool:
    """Clients find out the region to sign for by GetBucketLocation or HeadBucket, signed for us-east-1."""
    if auth.region != "us-east-1":
        return False
    of_bucket = "/" not in request.path.strip("/")
    return of_bucket and (request.method == "HEAD" or "location" in parse_query(request.query))


def _body(request: Request, auth: Authorization, signing: SigningKey) -> ByteSource:
    if not request.has_length:
        return request.body
    # CompleteMultipartUpload declares the object's checksum where other requests declare their body's.
    commits = request.method == "POST" and "uploadId" in parse_query(request.query)
    return verified_body(request.body, request.headers, auth, signing, checksum_of_body=not commits)
