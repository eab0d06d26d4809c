"""The record file: everything that goes in comes out, and no damage goes unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.backends.local import records
from bridge_node.backends.local.records import DataFile, Record
from bridge_node.errors import BackendMisbehaved
from bridge_node.objects import Checksum, ObjectInfo, Part

TEXT = st.text(max_size=30)
CHECKSUMS = st.none() | st.builds(Checksum, TEXT, TEXT, st.booleans())
INFOS = st.builds(
    ObjectInfo,
    key=TEXT,
    size=st.integers(0, 2**60),
    etag=TEXT,
    last_modified=st.floats(0, 1e11),
    pin=TEXT,
    content=st.dictionaries(TEXT, TEXT, max_size=3),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    checksum=CHECKSUMS,
    part_count=st.none() | st.integers(1, 10_000),
)
FILES = st.builds(
    DataFile,
    TEXT,
    st.builds(Part, st.integers(1, 10_000), st.integers(0, 2**40), TEXT, st.floats(0, 1e11), CHECKSUMS),
)
RECORDS = st.builds(Record, INFOS, inline=st.binary(max_size=100), upload=TEXT) | st.builds(
    Record, INFOS, files=st.lists(FILES, min_size=1, max_size=4).map(tuple), upload=TEXT
)


def decoded(key: str, data: bytes) -> Record:
    head = records.read_head(memoryview(data))
    if head is None:  # a file that ends before its head does
        raise records.damaged()
    return records.read_record(key, head, memoryview(data))


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decoded(record.info.key, records.encode(record)) == record


@given(RECORDS, st.data())
def test_no_flipped_bit_goes_unseen(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(records.encode(record))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BackendMisbehaved):
        decoded(record.info.key, bytes(encoded))


@given(RECORDS, st.data())
def test_no_missing_end_goes_unseen(record: Record, data: st.DataObject) -> None:
    encoded = records.encode(record)
    with pytest.raises(BackendMisbehaved):
        decoded(record.info.key, encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_a_record_says_whose_it_is() -> None:
    data = records.encode(Record(ObjectInfo("key", 5, "etag", 1.0), b"hello"))
    with pytest.raises(BackendMisbehaved):
        decoded("other", data)
