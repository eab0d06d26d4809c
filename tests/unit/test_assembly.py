"""What a commit demands of its parts, and what the object becomes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node import checksums
from bridge_node.backends.assembly import assemble, multipart_etag
from bridge_node.errors import InvalidPart, MalformedDocument
from bridge_node.objects import Part, Receipt
from bridge_node.operations import CommitUpload


def commit(*receipts: Receipt) -> CommitUpload:
    return CommitUpload("bucket", "key", "upload", receipts)


def digest(algorithm: str, data: bytes) -> bytes:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return hasher.digest()


def test_a_commit_of_nothing_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        assemble(commit(), {}, None, composite=False, min_part_size=1)


def test_parts_of_an_object_count_from_1_whatever_they_were_staged_as() -> None:
    staged = {label: Part(label, 10, f"{label:032x}") for label in (3, 7)}
    receipts = [Receipt(label, part.etag) for label, part in staged.items()]
    assembly = assemble(commit(*receipts), staged, None, composite=False, min_part_size=1)
    assert assembly.labels == (3, 7)
    assert [part.number for part in assembly.parts] == [1, 2]
    assert assembly.size == 20


def test_the_etag_of_parts_is_the_one_that_amazon_gives() -> None:
    parts = [b"a" * 5, b"b" * 5]
    receipts = [Receipt(label, digest("md5", data).hex()) for label, data in enumerate(parts, start=1)]
    joined = digest("md5", b"".join(digest("md5", data) for data in parts))
    assert multipart_etag(receipts) == f"{joined.hex()}-2"


def test_an_etag_that_is_no_md5_is_an_invalid_part() -> None:
    with pytest.raises(InvalidPart):
        multipart_etag([Receipt(1, "not hexadecimal")])


@pytest.mark.parametrize("algorithm", sorted(checksums.FULL_OBJECT))
@given(pieces=st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_joined_checksums_are_those_of_the_whole(algorithm: str, pieces: list[bytes]) -> None:
    joined = checksums.joined(algorithm, [(digest(algorithm, piece), len(piece)) for piece in pieces])
    assert base64.b64encode(joined) == base64.b64encode(digest(algorithm, b"".join(pieces)))
