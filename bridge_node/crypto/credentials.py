"""New credentials for clients: an access key id and its secret."""

import secrets
import string

ACCESS_KEY_CHARACTERS = string.ascii_uppercase + string.digits
SECRET_CHARACTERS = string.ascii_letters + string.digits
"""No `+` or `/`, as AWS has them: nothing to be escaped in URLs, shells and configuration files."""


def new_pair() -> tuple[str, str]:
    """An access key id and its secret."""
    return _random(ACCESS_KEY_CHARACTERS, 20), _random(SECRET_CHARACTERS, 40)


def _random(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))
