"""How objects come together: digests of a body, and what a commit demands of its parts.

For backends that store bytes themselves; cloud backends leave this to their cloud.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge_node import checksums
from bridge_node.errors import (
    BadDigest,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedDocument,
    PartTooSmall,
)
from bridge_node.objects import Checksum, Part, Receipt
from bridge_node.operations import CommitUpload, OpenUpload, PutObject, StagePart


class Digests:
    """MD5 and, where asked for, one more checksum of the bytes that pass by. Not locked: one thread at a time."""

    __slots__ = ("_algorithm", "_checksum", "_md5", "size")

    def __init__(self, algorithm: str | None) -> None:
        self._algorithm = algorithm
        self._md5 = checksums.new("md5")
        self._checksum = checksums.new(algorithm) if algorithm else None
        self.size = 0

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        if self._checksum is not None:
            self._checksum.update(data)

    @property
    def etag(self) -> str:
        return self._md5.digest().hex()

    @property
    def checksum(self) -> Checksum | None:
        if self._algorithm is None or self._checksum is None:
            return None
        return Checksum(self._algorithm, checksums.encoded(self._checksum))

    def verify(self, op: PutObject | StagePart) -> None:
        """Raises BadDigest unless the bytes are those that the client declared."""
        if op.md5 is not None and op.md5 != checksums.encoded(self._md5):
            raise BadDigest(reason="content_md5_differs")
        if op.checksum is not None and op.checksum != self.checksum:
            raise BadDigest(reason="checksum_differs")


def put_algorithm(op: PutObject) -> str | None:
    """The checksum to keep with a new object."""
    return op.checksum.algorithm if op.checksum else op.checksum_algorithm


def part_algorithm(op: StagePart, upload: str | None) -> str | None:
    """The checksum to keep with a part of an upload that was opened with `upload`; raises InvalidRequest."""
    own = op.checksum.algorithm if op.checksum else op.checksum_algorithm
    if own and upload and own != upload:
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {upload}, actual checksum Type: {own}",
            reason="checksum_type_mismatch",
        )
    return upload or own


def is_composite(op: OpenUpload) -> bool:
    """Whether the object's checksum will be one of part checksums; raises InvalidRequest where it cannot be."""
    algorithm, asked = op.checksum_algorithm, op.checksum_composite
    if algorithm is None:
        return False
    composite = algorithm in checksums.COMPOSITE if asked is None else asked
    if algorithm not in (checksums.COMPOSITE if composite else checksums.FULL_OBJECT):
        kind = "COMPOSITE" if composite else "FULL_OBJECT"
        raise InvalidRequest(f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.")
    return composite


@dataclass(frozen=True, slots=True)
class Assembly:
    """What an object of several parts is, once a commit was found to be right.

    `labels` are what the parts were staged as; in the object they count from 1 without gaps.
    """

    labels: tuple[int, ...]
    parts: tuple[Part, ...]
    etag: str
    checksum: Checksum | None

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def assemble(
    op: CommitUpload, staged: Mapping[int, Part], algorithm: str | None, *, composite: bool, min_part_size: int
) -> Assembly:
    """Checks a commit against the parts that are staged.

    Raises MalformedDocument, InvalidPartOrder, InvalidPart, PartTooSmall, BadDigest or InvalidRequest.
    """
    _check_order(op.receipts)
    parts = tuple(_matching(receipt, staged) for receipt in op.receipts)
    for part in parts[:-1]:
        if part.size < min_part_size:
            raise PartTooSmall(
                ProposedSize=str(part.size),
                MinSizeAllowed=str(min_part_size),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    assembly = Assembly(
        tuple(part.number for part in parts),
        tuple(replace(part, number=number) for number, part in enumerate(parts, start=1)),
        multipart_etag(op.receipts),
        _joined_checksum(parts, algorithm, composite),
    )
    if op.checksum is not None and assembly.checksum is not None and _differ(op.checksum, assembly.checksum):
        raise BadDigest(reason="checksum_differs")
    if op.size is not None and op.size != assembly.size:
        raise InvalidRequest("The provided 'x-amz-mp-object-size' header does not match what was computed.")
    return assembly


def _check_order(receipts: Sequence[Receipt]) -> None:
    if not receipts:
        raise MalformedDocument(reason="no_parts")
    labels = [receipt.label for receipt in receipts]
    if any(first >= second for first, second in itertools.pairwise(labels)):
        raise InvalidPartOrder


def _matching(receipt: Receipt, staged: Mapping[int, Part]) -> Part:
    part = staged.get(receipt.label)
    if part is None or part.etag != receipt.etag:
        raise InvalidPart(PartNumber=str(receipt.label), ETag=receipt.etag)
    if receipt.checksum is not None and part.checksum is not None and _differ(receipt.checksum, part.checksum):
        raise InvalidPart(PartNumber=str(receipt.label), reason="checksum_differs")
    return part


def _differ(declared: Checksum, kept: Checksum) -> bool:
    return (declared.algorithm, declared.value) != (kept.algorithm, kept.value)


def multipart_etag(receipts: Sequence[Receipt]) -> str:
    """S3's ETag of an object that was uploaded in parts: the MD5 of the parts' MD5s, and their number."""
    try:
        digests = b"".join(bytes.fromhex(receipt.etag) for receipt in receipts)
    except ValueError as error:
        raise InvalidPart from error
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(receipts)}"


def _joined_checksum(parts: Sequence[Part], algorithm: str | None, composite: bool) -> Checksum | None:
    values = [part.checksum.value for part in parts if part.checksum is not None]
    if algorithm is None or len(values) < len(parts):
        return None
    digests = [base64.b64decode(value) for value in values]
    if not composite:
        joined = checksums.joined(algorithm, [(digest, part.size) for digest, part in zip(digests, parts, strict=True)])
        return Checksum(algorithm, base64.b64encode(joined).decode())
    hasher = checksums.new(algorithm)
    hasher.update(b"".join(digests))
    return Checksum(algorithm, checksums.encoded(hasher), composite=True)
