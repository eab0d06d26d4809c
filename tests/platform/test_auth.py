"""Bearer tokens: contract §0.2, and the ways in which they are forged."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr
from sqlalchemy import update

from bridge_node.platform import auth
from bridge_node.platform.auth import OWN_NAME, Role, TrustedIssuer, trusted
from bridge_node.platform.errors import Unauthorised
from bridge_node.platform.models import users
from bridge_node.platform.settings import Issuer
from tests.platform.world import NOW, PlatformUnderTest

ROUTE = "/organization/org-1/key"


async def status(here: PlatformUnderTest, token: str, scheme: str = "Bearer") -> int:
    answer = await here.client.get(ROUTE, headers={"Authorization": f"{scheme} {token}"})
    assert answer.json()["success"] is (answer.status_code == 200)
    return answer.status_code


def forged(here: PlatformUnderTest, *, key: OctKey | None = None, alg: str = "HS256", **changes: Any) -> str:
    issuer = here.platform.issuers[0]
    claims: dict[str, Any] = {"iss": OWN_NAME, "aud": OWN_NAME, "exp": int(NOW) + 60, "userId": "owner-1"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": alg}, claims, key or issuer.key, algorithms=[alg])


async def test_a_token_of_ours_is_believed(here: PlatformUnderTest) -> None:
    assert await status(here, here.token()) == 200
    assert await status(here, here.token(), "bearer") == 200
    assert await status(here, forged(here)) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "other"},
        {"aud": None},
        {"aud": "other"},
        {"exp": None},
        {"exp": int(NOW) - 6},
        {"exp": "soon"},
        {"nbf": int(NOW) + 60},
        {"userId": None},
        {"userId": 1},
        {"userId": "nobody"},
        {"userId": "owner-2", "orgId": "org-1"},
        {"orgId": "org-2"},
        {"orgId": ["org-1"]},
        {"alg": "HS512"},
        {"key": OctKey.import_key("k" * 32)},
    ],
    ids="-".join,
)
async def test_a_token_with_anything_wrong_is_nobodys(here: PlatformUnderTest, changes: dict[str, Any]) -> None:
    assert await status(here, forged(here, **changes)) == 401


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer a.b.c", "x" * 9000]
)
async def test_what_is_no_token_is_refused(here: PlatformUnderTest, header: str | None) -> None:
    answer = await here.client.get(ROUTE, headers={"Authorization": header} if header is not None else {})
    assert answer.status_code == 401
    assert set(answer.json()) == {"success", "message"}


async def test_an_unsigned_token_is_refused(here: PlatformUnderTest) -> None:
    _, payload, _ = forged(here).split(".")
    assert await status(here, f"eyJhbGciOiJub25lIn0.{payload}.") == 401


async def test_what_a_user_may_do_is_in_the_database(here: PlatformUnderTest) -> None:
    token = here.token("admin-1")
    assert await status(here, token) == 200
    mine = update(users).where(users.c.id == "admin-1")
    await here.change(mine.values(role=Role.WORKSPACES))
    assert await status(here, token) == 403
    await here.change(mine.values(deleted_at=1))
    assert await status(here, token) == 401


def pem(private: Any) -> tuple[str, str]:
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret.decode(), public.decode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519", "HS256"])
def test_issuers_are_believed_by_their_public_key(algorithm: Any) -> None:
    private, public = {
        "RS256": lambda: pem(rsa.generate_private_key(65537, 2048)),
        "ES256": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
        "Ed25519": lambda: pem(ed25519.Ed25519PrivateKey.generate()),
        "HS256": lambda: ("s" * 32, "s" * 32),
    }[algorithm]()

    def issuer(key: str) -> TrustedIssuer:
        return trusted(Issuer(issuer="https://login", audience="us", algorithm=algorithm, key=SecretStr(key)))

    token = auth.issue(issuer(private), user_id="u", email="u@x", organisation_id="o", now=NOW, seconds=60)
    assert auth.claims_of(token, [issuer(public)], NOW)["userId"] == "u"


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    _, public = pem(rsa.generate_private_key(65537, 2048))
    issuer = trusted(Issuer(issuer="i", audience="a", algorithm="RS256", key=SecretStr(public)))
    claims = {"iss": "i", "aud": "a", "exp": int(NOW) + 60, "userId": "u"}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(public.encode().hex()), algorithms=["HS256"])
    with pytest.raises(Unauthorised):
        auth.claims_of(token, [issuer], NOW)


def test_a_short_shared_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        trusted(Issuer(issuer="i", audience="a", algorithm="HS256", key=SecretStr("short")))


async def test_a_user_is_limited_and_told_when_to_come_back(here: PlatformUnderTest) -> None:
    answers = [await here.call("GET", "/node", user="user-1") for _ in range(60)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.headers["retry-after"] == "1" and answer.json()["success"] is False for answer in refused)
