"""New access keys of repositories, in the shape that clients of each protocol know (contract §3)."""

import base64
import secrets
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bridge_node.crypto import credentials, orgkey
from bridge_node.platform.store.repokeys import Pair

ACCOUNT_KEY_BYTES = 32


def new_pair(storage_type: str, key_id: str, repository_id: str, domain: str) -> Pair:
    """S3: access key id and secret. GCS: e-mail and RSA private key. BLOB: account name and base64 key.

    Making an RSA key takes a while: call this in a thread.
    """
    match storage_type:
        case "GCS":
            private, public = _rsa()
            return Pair(f"{key_id}@{repository_id}.{domain}", private, public)
        case "BLOB":
            return Pair(str(uuid.uuid4()), base64.b64encode(secrets.token_bytes(ACCOUNT_KEY_BYTES)).decode())
    return Pair(*credentials.new_pair())


def _rsa() -> tuple[str, str]:
    """Private key as Google's files hold it (PKCS#8 PEM), and the public key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), orgkey.public_pem(key.public_key())
