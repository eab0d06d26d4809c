"""Who a Bearer token speaks for. The token says only that: role and organisation are read from the database.

Each issuer has one key and one algorithm (RFC 8725 §3.1); `iss`, `aud` and `exp` must be there and right.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.errors import Forbidden, Unauthorised
from bridge_node.platform.models import users
from bridge_node.platform.settings import Issuer

OWN_NAME = "bridge-node-platform"
LEEWAY_SECONDS = 5
_LONGEST_TOKEN = 8192
_SCHEME = "bearer "

Key = OctKey | RSAKey | ECKey | OKPKey


class Role(IntEnum):
    """What somebody is in the organisation; the numbers are the contract's."""

    USER = 0x00
    BILLING = 0x01
    WORKSPACES = 0x02
    ADMINISTRATORS = 0xFE
    OWNER = 0xFF


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the database knows them at this moment."""

    user_id: str
    organisation_id: str
    role: int
    name: str
    email: str

    @property
    def administrates(self) -> bool:
        return self.role in {Role.ADMINISTRATORS, Role.OWNER}

    @property
    def sees_every_workspace(self) -> bool:
        return self.administrates or self.role == Role.WORKSPACES

    def require_member(self, organisation_id: str) -> None:
        """Raises Forbidden for any other organisation, whether there is one or not."""
        if organisation_id != self.organisation_id:
            raise Forbidden("Not allowed in this organisation")

    def require_administrator(self, organisation_id: str) -> None:
        self.require_member(organisation_id)
        if not self.administrates:
            raise Forbidden("Only administrators may do this")


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer with its key read."""

    issuer: str
    audience: str
    algorithm: str
    key: Key


def own_issuer(master_key: bytes) -> TrustedIssuer:
    """The platform itself: its signing key follows from the master key, so that every process has the same."""
    key = OctKey.import_key(hmac.digest(master_key, b"bridge-node platform tokens", "sha256"))
    return TrustedIssuer(OWN_NAME, OWN_NAME, "HS256", key)


def trusted(issuer: Issuer) -> TrustedIssuer:
    """Reads the key of a configured issuer; raises ValueError when it does not fit the algorithm."""
    text = issuer.key.get_secret_value().strip()
    key: Key
    match issuer.algorithm:
        case "HS256" if len(text.encode()) >= 32:
            key = OctKey.import_key(text)
        case "HS256":
            raise ValueError("the secret of an HS256 issuer has at least 32 bytes")
        case "RS256":
            key = RSAKey.import_key(text)
        case "ES256":
            key = ECKey.import_key(text)
        case "Ed25519":
            key = OKPKey.import_key(text)
    return TrustedIssuer(issuer.issuer, issuer.audience, issuer.algorithm, key)


def issue(issuer: TrustedIssuer, *, user_id: str, email: str, organisation_id: str, now: float, seconds: float) -> str:
    """A token for a user, valid for `seconds`."""
    claims = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "iat": int(now),
        "exp": int(now + seconds),
        "userId": user_id,
        "email": email,
        "orgId": organisation_id,
    }
    return jwt.encode({"alg": issuer.algorithm}, claims, issuer.key, registry=_registry(issuer))


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header; raises Unauthorised."""
    if authorization is None or not authorization.lower().startswith(_SCHEME):
        raise Unauthorised("A bearer token is needed")
    return authorization[len(_SCHEME) :].strip()


def claims_of(token: str, issuers: Sequence[TrustedIssuer], now: float) -> dict[str, Any]:
    """What a token says, once an issuer's key and terms hold for it; raises Unauthorised."""
    if len(token) <= _LONGEST_TOKEN:
        for issuer in issuers:
            claims = _believed(token, issuer, now)
            if claims is not None:
                return claims
    raise Unauthorised("The bearer token is not valid")


def _believed(token: str, issuer: TrustedIssuer, now: float) -> dict[str, Any] | None:
    terms = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer.issuer},
        aud={"essential": True, "value": issuer.audience},
        exp={"essential": True},
    )
    try:
        decoded = jwt.decode(token, issuer.key, registry=_registry(issuer))
        terms.validate(decoded.claims)
    except (JoseError, ValueError, TypeError):
        return None
    return decoded.claims


def _registry(issuer: TrustedIssuer) -> JWSRegistry:
    return JWSRegistry(algorithms=[issuer.algorithm])


async def principal(connection: AsyncConnection, claims: dict[str, Any]) -> Principal:
    """The user that `claims` name, if there still is one and they are of the organisation that the token says."""
    user_id, organisation_id = claims.get("userId"), claims.get("orgId")
    if not isinstance(user_id, str):
        raise Unauthorised("The bearer token is not valid")
    found = await connection.execute(select(users).where(users.c.id == user_id, users.c.deleted_at.is_(None)))
    user = found.one_or_none()
    if user is None or organisation_id not in (None, user.organisation_id):
        raise Unauthorised("The bearer token is not valid")
    return Principal(user.id, user.organisation_id, user.role, user.name, user.email)
