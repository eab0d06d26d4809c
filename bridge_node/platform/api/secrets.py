"""`POST /secrets`: what nodes of other makers ask for at start, under their organisation's key (contract §5.4)."""

import secrets

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.crypto import envelope, orgkey
from bridge_node.messages import SignedText
from bridge_node.platform.callers import Answer, Caller
from bridge_node.platform.errors import Unauthorised
from bridge_node.platform.requests import Here, decoded, node_call, rendered
from bridge_node.platform.settings import VendorSecrets

router = APIRouter(tags=["nodes' own"])


@router.post("/secrets")
async def vendor_secrets(request: Request, platform: Here) -> Response:
    call = await node_call(request, platform, "/secrets", Unauthorised)
    message = await decoded(SignedText, request, platform.settings.limits.body_bytes)

    async def work(connection: AsyncConnection, caller: Caller) -> Answer:
        if caller.key is None:
            raise Unauthorised("An enrolled node gets its secrets with its configuration")
        return Answer.json(_sealed(platform.settings.vendor_secrets, caller.key.public_key))

    return rendered(await platform.callers.answer(call, message, work))


def _sealed(texts: VendorSecrets, public_key: str) -> dict[str, str]:
    """All three must be there, whatever is in them."""
    recipient = orgkey.load_public(public_key)
    return {
        f"env_{name}_enc": envelope.seal(
            getattr(texts, name).get_secret_value().encode(),
            recipient,
            secrets.token_bytes(envelope.KEY_BYTES),
            secrets.token_bytes(envelope.IV_BYTES),
        )
        for name in VendorSecrets.model_fields
    }
