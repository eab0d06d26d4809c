"""Positions and uploads as clients hold them: sealed with the repository's key, good on every node, and only there."""

import json

from bridge_node.catalog import Repository
from bridge_node.crypto.tokens import InvalidToken, TokenSeal
from bridge_node.errors import InvalidArgument, NoSuchUpload

Purpose = tuple[str, ...]


def seal_upload(repository: Repository, backend: str, bucket: str, key: str, handle: str) -> str:
    """The client's id of an upload. `backend` and `bucket` are the node's name of the one and the real name there."""
    return _seal(repository).seal(("upload", repository.id, backend, bucket, key), handle.encode())


def open_upload(repository: Repository, backend: str, bucket: str, key: str, upload: str) -> str:
    """The backend's handle; raises NoSuchUpload for an id of another key, bucket or backend, and for garbage."""
    try:
        return _seal(repository).open(("upload", repository.id, backend, bucket, key), upload).decode()
    except InvalidToken as error:
        raise NoSuchUpload(reason="upload_id_not_ours", UploadId=upload) from error


def seal_position(repository: Repository, purpose: Purpose, backend: str, token: str, last: str) -> str:
    """A continuation token: the backend's own, and the last entry for the case that another one has to go on."""
    content = json.dumps([backend, token, last], ensure_ascii=False, separators=(",", ":"))
    return _seal(repository).seal((*purpose, repository.id), content.encode())


def open_position(repository: Repository, purpose: Purpose, backend: str, sealed: str) -> tuple[str | None, str]:
    """The token to go on with, and the last entry; the token is None when it was another backend's.

    Raises InvalidArgument for what was not sealed for `purpose`.
    """
    try:
        made_by, token, last = json.loads(_seal(repository).open((*purpose, repository.id), sealed))
    except InvalidToken as error:
        raise InvalidArgument(
            "The continuation token provided is incorrect", reason="continuation_token_not_ours"
        ) from error
    return token if made_by == backend else None, last


def _seal(repository: Repository) -> TokenSeal:
    return TokenSeal(repository.token_key, repository.previous_token_key)
