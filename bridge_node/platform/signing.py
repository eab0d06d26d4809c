"""The key that the platform signs its answers with: made once, kept in the vault, pinned by the nodes."""

from typing import Any

from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.crypto import sealing
from bridge_node.platform.store import enrolments
from bridge_node.platform.store.enrolments import PlatformKey
from bridge_node.platform.vault import Vault

_TABLE = "platform_keys"


class SigningKeys:
    """`load` before anything else. Every process of a platform comes to the same key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._key: OKPKey | None = None
        self._public: list[dict[str, Any]] = []

    async def load(self, connection: AsyncConnection, now_ms: int) -> None:
        """Reads the keys, and makes the first one. Raises VaultError under another master key."""
        found = await enrolments.platform_keys_in_use(connection)
        if not found:
            await enrolments.lock_platform_keys(connection)
            found = await enrolments.platform_keys_in_use(connection) or [await self._made(connection, now_ms)]
        self._key = OKPKey.import_key(self._vault.open(found[0].secret_sealed, _TABLE, found[0].id))
        self._public = [key.public for key in found]

    async def _made(self, connection: AsyncConnection, now_ms: int) -> PlatformKey:
        key = sealing.new_signing_key()
        sealed = self._vault.seal(key.as_pem(private=True).decode(), _TABLE, key.thumbprint())
        made = PlatformKey(key.thumbprint(), dict(key.as_dict(private=False)), sealed)
        await enrolments.add_platform_key(connection, made, now_ms)
        return made

    @property
    def public(self) -> dict[str, Any]:
        """The JWK set that nodes pin."""
        return {"keys": self._public}

    def sign(self, payload: bytes) -> str:
        """A compact JWS that nodes believe."""
        if self._key is None:
            raise RuntimeError("the signing key is not loaded")
        return sealing.sign(payload, self._key)
