"""S3's documents: what one end writes the other reads, real S3's own are understood, hostile ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bridge_node.errors import (
    AccessDenied,
    BackendMisbehaved,
    BackendRefused,
    BridgeError,
    InvalidArgument,
    MalformedDocument,
    NoSuchKey,
)
from bridge_node.objects import (
    BucketInfo,
    Checksum,
    Conditions,
    Deleted,
    DeleteFailure,
    Listing,
    ObjectInfo,
    Part,
    PartListing,
    Receipt,
    Stored,
    UploadInfo,
    UploadListing,
)
from bridge_node.operations import DeleteObject, ListObjects, ListUploads, ListVersions
from bridge_node.protocols.s3 import documents, listings, xml
from bridge_node.protocols.s3.errors import to_wire
from bridge_node.protocols.s3.listings import Owner

WHEN = 1255369830.25
LEGAL = st.text(st.characters(exclude_categories=["Cs"]).filter(xml.is_legal), min_size=1, max_size=20)
ANY_KEY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def info(key: str, **more: object) -> ObjectInfo:
    return ObjectInfo(key, 5, "5d41402abc4b2a76b9719d911017c592", WHEN, **more)  # type: ignore[arg-type]  # test


def texts(data: bytes, name: str) -> list[str]:
    return [element.text or "" for element in etree.fromstring(data).iter(f"{{*}}{name}")]


# --- reading is bounded --------------------------------------------------------------------------------------------

BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a>&undefined;</a>",
        b"<a>&#1;</a>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        BOMB,
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"),
        b"<a>" + b"<b/>" * 400_001 + b"</a>",
        b"<a " + b" ".join(b"a%d=''" % i for i in range(200_001)) + b"/>",
        b"<a>" * 17 + b"</a>" * 17,
        b"<a>" * 100_000,
        b"<a x='1' x='2'/>",
    ],
    ids=range(17),
)
def test_what_is_no_small_plain_document_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        xml.parse(data)


def test_documents_of_clients_are_as_deep_as_the_setting_allows() -> None:
    delete = b"<Delete><Object><Key>a</Key></Object></Delete>"
    assert documents.read_delete_request("b", delete, max_depth=3)
    with pytest.raises(MalformedDocument):
        documents.read_delete_request("b", delete, max_depth=2)


def test_limits_are_arguments() -> None:
    assert xml.parse(b"<a><b/></a>", max_bytes=11, max_depth=2) is not None
    for limits in ({"max_bytes": 10}, {"max_depth": 1}):
        with pytest.raises(MalformedDocument):
            xml.parse(b"<a><b/></a>", **limits)


def test_depth_sixteen_is_allowed() -> None:
    assert xml.parse(b"<a>" * 16 + b"</a>" * 16) is not None


def test_the_root_must_be_the_one_that_is_wanted() -> None:
    assert xml.parse(b"<a xmlns='urn:x'/>", "a", "b") is not None
    with pytest.raises(MalformedDocument):
        xml.parse(b"<c/>", "a", "b")


READERS = (
    listings.read_buckets,
    listings.read_objects,
    listings.read_versions,
    listings.read_uploads,
    listings.read_parts,
    documents.read_location,
    documents.read_create_bucket,
    documents.read_initiate_result,
    documents.read_complete_request,
    documents.read_complete_result,
    documents.read_copy_result,
    documents.read_attributes,
    lambda data: documents.read_delete_request("b", data),
    lambda data: documents.read_delete_result(data, [], quiet=False),
)
WRITTEN = (
    listings.write_buckets([BucketInfo("b", WHEN)]),
    listings.write_objects_v2(ListObjects("b"), Listing((info("k"),), ("p/",), "t"), next_token="t", encode=True),
    listings.write_versions(ListVersions("b"), Listing((info("k"),), (), "t")),
    listings.write_uploads(ListUploads("b"), UploadListing((UploadInfo("k", "u", WHEN),))),
    listings.write_parts("b", "k", "u", PartListing((Part(1, 5, "e", WHEN),), 1), after=0, limit=1),
    documents.write_complete_request([Receipt(1, "e")]),
    documents.write_delete_request([DeleteObject("b", "k")], quiet=True),
    documents.write_copy_result("e", WHEN),
    documents.write_attributes(info("k", part_count=2), {"ETag", "ObjectParts"}, [Part(1, 5, "e")]),
)


@given(st.sampled_from(WRITTEN), st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 8))
def test_damaged_documents_are_read_or_refused_without_a_crash(data: bytes, at: int, new: bytes, gone: int) -> None:
    damaged = data[:at] + new + data[at + gone :]
    for read in READERS:
        try:
            read(damaged)
        except BridgeError:
            continue
    documents.read_error(damaged)


@pytest.mark.parametrize("text", ["2009-10-12T17:50:30.000Z", "2009-10-12T17:50:30Z"])
def test_dates_are_read_with_and_without_milliseconds(text: str) -> None:
    assert xml.parse_iso_date(text) == 1255369830.0


@pytest.mark.parametrize(
    "text", ["", "2009-10-12", "2009-13-12T17:50:30Z", "2009-10-12T17:50:30+01:00", "٢009-10-12T17:50:30Z"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        xml.parse_iso_date(text)


@given(st.integers(0, 4102444800000))
def test_dates_survive_to_the_millisecond(milliseconds: int) -> None:
    text = xml.iso_date(milliseconds / 1000)
    assert len(text) == 24
    assert round(xml.parse_iso_date(text) * 1000) == milliseconds


# --- listings ------------------------------------------------------------------------------------------------------


@given(st.lists(LEGAL, max_size=4, unique=True), st.lists(LEGAL, max_size=3), st.booleans())
def test_a_listing_is_read_as_it_was_written(keys: list[str], prefixes: list[str], encode: bool) -> None:
    page = Listing(tuple(info(key) for key in keys), tuple(prefixes), "token")
    op = ListObjects("bucket", prefix="p&<", delimiter="/", after="a\r\n", limit=7)
    for data in (
        listings.write_objects_v2(op, page, next_token="token", encode=encode, owner=Owner("me")),
        listings.write_objects_v1(op, page, encode=encode),
    ):
        read = listings.read_objects(data)
        assert (read.objects, read.prefixes) == (page.objects, page.prefixes)
        assert texts(data, "IsTruncated") == ["true"]


@given(st.lists(ANY_KEY, min_size=1, max_size=4, unique=True))
def test_any_key_can_be_listed_url_encoded(keys: list[str]) -> None:
    page = Listing(tuple(info(key) for key in keys), tuple(keys))
    op = ListObjects("bucket", prefix=keys[0], delimiter=keys[0], after=keys[0])
    read = listings.read_objects(listings.write_objects_v2(op, page, next_token=None, encode=True))
    assert [entry.key for entry in read.objects] == keys
    assert list(read.prefixes) == keys
    assert read.token is None


def test_only_keys_and_their_like_are_url_encoded() -> None:
    op = ListObjects("bucket", prefix="a b", delimiter="+", after="c d", token="e+f%")
    data = listings.write_objects_v2(op, Listing((info("g+h/i"),), ("j k+",)), next_token="l+m%", encode=True)
    assert texts(data, "Prefix") == ["a%20b", "j%20k%2B"]
    assert texts(data, "Delimiter") == ["%2B"]
    assert texts(data, "StartAfter") == ["c%20d"]
    assert texts(data, "Key") == ["g%2Bh/i"]
    assert texts(data, "ContinuationToken") == ["e+f%"]
    assert texts(data, "NextContinuationToken") == ["l+m%"]
    data = listings.write_objects_v1(op, Listing((), ("j k+",), "t"), encode=True)
    assert texts(data, "Marker") == ["c%20d"]
    assert texts(data, "NextMarker") == ["j%20k%2B"]


def test_characters_that_xml_cannot_hold_become_references() -> None:
    data = listings.write_objects_v2(ListObjects("b"), Listing((info('a\x01\ufffe\r<&>"'),)), next_token=None)
    assert b"<Key>a&#x1;&#xFFFE;&#xD;&lt;&amp;&gt;&quot;</Key>" in data


def test_key_count_counts_keys_and_prefixes() -> None:
    data = listings.write_objects_v2(ListObjects("b"), Listing((info("a"),), ("b/", "c/")), next_token=None)
    assert texts(data, "KeyCount") == ["3"]
    assert texts(data, "IsTruncated") == ["false"]
    assert texts(data, "NextContinuationToken") == []


def test_version_1_names_the_next_marker_only_with_a_delimiter() -> None:
    page = Listing((info("a"), info("c")), ("b/",), "t")
    with_delimiter = listings.write_objects_v1(ListObjects("b", delimiter="/"), page)
    without = listings.write_objects_v1(ListObjects("b"), page)
    assert texts(with_delimiter, "NextMarker") == ["c"]
    assert texts(without, "NextMarker") == []
    assert listings.read_objects(without).token == "c"


def test_a_real_listing_of_s3_is_read() -> None:
    data = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>quotes</Name><Prefix>E</Prefix>
<StartAfter>ExampleGuide.pdf</StartAfter><KeyCount>1</KeyCount><MaxKeys>3</MaxKeys><IsTruncated>true</IsTruncated>
<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
<EncodingType>url</EncodingType><Contents><Key>Example+Object%2B1.txt</Key>
<LastModified>2013-09-17T18:07:53.000Z</LastModified><ETag>&quot;599bab3ed2c697f1d26842727561fd94&quot;</ETag>
<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA1</ChecksumAlgorithm>
<Size>857</Size><StorageClass>REDUCED_REDUNDANCY</StorageClass></Contents></ListBucketResult>"""
    page = listings.read_objects(data)
    assert page.token == "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM="
    assert page.objects == (
        ObjectInfo(
            "Example Object+1.txt",
            857,
            "599bab3ed2c697f1d26842727561fd94",
            1379441273.0,
            storage_class="REDUCED_REDUNDANCY",
        ),
    )


@pytest.mark.parametrize("encode", [True, False])
def test_versions_and_delete_markers_are_read_as_they_were_written(encode: bool) -> None:
    marker = ObjectInfo("a b", 0, "", WHEN, version_id="v2", delete_marker=True)
    page = Listing((marker, info("a b", version_id="v1", is_latest=False)), ("c/",), "more")
    op = ListVersions("b", delimiter="/", after="9", after_version="x")
    data = listings.write_versions(op, page, encode=encode)
    read = listings.read_versions(data)
    assert (read.objects, read.prefixes) == (page.objects, page.prefixes)
    assert read.token == "c/"
    assert texts(data, "NextVersionIdMarker") == []
    data = listings.write_versions(op, Listing(page.objects, (), "more"))
    assert texts(data, "NextKeyMarker") == ["a b"]
    assert texts(data, "NextVersionIdMarker") == ["v1"]
    assert texts(data, "VersionIdMarker") == ["x"]


def test_a_bucket_without_versions_lists_version_null() -> None:
    data = listings.write_versions(ListVersions("b"), Listing((info("k"),)))
    assert texts(data, "VersionId") == ["null"]
    assert listings.read_versions(data).token is None


@given(st.lists(st.tuples(ANY_KEY, LEGAL), max_size=3), st.lists(ANY_KEY, max_size=2))
def test_uploads_are_read_as_they_were_written(uploads: list[tuple[str, str]], prefixes: list[str]) -> None:
    page = UploadListing(tuple(UploadInfo(key, handle, WHEN) for key, handle in uploads), tuple(prefixes))
    read = listings.read_uploads(listings.write_uploads(ListUploads("b"), page, encode=True))
    assert read == page


def test_the_next_page_of_uploads_starts_behind_the_last_one() -> None:
    uploads = (UploadInfo("a", "u1", WHEN), UploadInfo("a", "u2", WHEN))
    data = listings.write_uploads(ListUploads("b"), UploadListing(uploads, (), "more"))
    assert texts(data, "NextKeyMarker") == ["a"]
    assert texts(data, "NextUploadIdMarker") == ["u2"]
    assert listings.read_uploads(data).token == "u2"
    data = listings.write_uploads(ListUploads("b"), UploadListing(uploads, ("z/",), "more"))
    assert texts(data, "NextKeyMarker") == ["z/"]


def test_parts_are_read_as_they_were_written() -> None:
    parts = (Part(1, 5, "e1", WHEN, Checksum("crc32", "AAAAAA==")), Part(3, 0, "e3", WHEN))
    page = PartListing(parts, 3)
    data = listings.write_parts("b", "k&", "u", page, after=0, limit=2)
    assert listings.read_parts(data) == page
    assert texts(data, "NextPartNumberMarker") == ["3"]
    assert listings.read_parts(listings.write_parts("b", "k", "u", PartListing(parts), after=0, limit=9)) == (
        PartListing(parts)
    )


def test_buckets_are_read_as_they_were_written() -> None:
    buckets = [BucketInfo("a", WHEN), BucketInfo("b", WHEN, "eu-west-1")]
    assert listings.read_buckets(listings.write_buckets(buckets, Owner("me", "Me"), token="t")) == (buckets, "t")
    assert listings.read_buckets(listings.write_buckets([])) == ([], None)


# --- single documents ----------------------------------------------------------------------------------------------


def test_an_error_is_read_as_it_was_written() -> None:
    data = documents.write_error(to_wire(NoSuchKey(), key="k<"), "/b/k<", "REQUEST")
    error = documents.read_error(data)
    assert error is not None
    assert (error.code, error.message) == ("NoSuchKey", NoSuchKey.message)
    assert error.extra == {"Key": "k<", "Resource": "/b/k<", "RequestId": "REQUEST", "HostId": "REQUEST"}


@pytest.mark.parametrize("data", [b"", b"<html><body>502</body></html>", b"Bad Gateway", BOMB])
def test_a_proxys_page_is_no_error_document(data: bytes) -> None:
    assert documents.read_error(data) is None


def test_locations_are_read_as_they_were_written() -> None:
    for region in ("us-east-1", "eu-central-1"):
        assert documents.read_location(documents.write_location(region)) == region
        assert documents.read_create_bucket(documents.write_create_bucket(region)) in {region, None}
    assert documents.read_location(b"<LocationConstraint>EU</LocationConstraint>") == "eu-west-1"


@given(st.lists(st.tuples(LEGAL, st.none() | LEGAL, st.booleans()), min_size=1, max_size=4), st.booleans())
def test_deletes_are_read_as_they_were_written(items: list[tuple[str, str | None, bool]], quiet: bool) -> None:
    asked = tuple(
        DeleteObject("b", key, version_id=version, conditions=Conditions(if_match=("e",) if match else ()))
        for key, version, match in items
    )
    assert documents.read_delete_request("b", documents.write_delete_request(asked, quiet)) == (asked, quiet)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<Object/>",
        b"<Object><Key></Key></Object>",
        b"<Object><Key>a</Key><Size>5</Size></Object>",
        b"<Object><Key>a</Key></Object>" * 1001,
    ],
    ids=range(5),
)
def test_a_delete_of_nothing_of_too_much_or_on_a_condition_that_is_not_kept_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedDocument):
        documents.read_delete_request("b", b"<Delete>" + content + b"</Delete>")


def test_each_delete_has_its_own_outcome() -> None:
    items = [DeleteObject("b", "a"), DeleteObject("b", "c", version_id="v"), DeleteObject("b", "d")]
    outcomes: list[Deleted | DeleteFailure] = [
        Deleted("a", delete_marker=True, delete_marker_version_id="m"),
        DeleteFailure("c", AccessDenied(), "v"),
        Deleted("d"),
    ]
    for quiet in (True, False):
        data = documents.write_delete_result(outcomes, quiet)
        read = documents.read_delete_result(data, items, quiet=quiet)
        assert read[0] == (Deleted("a") if quiet else outcomes[0])
        assert isinstance(read[1], DeleteFailure)
        assert isinstance(read[1].error, BackendRefused)
        assert read[2] == Deleted("d")


def test_a_delete_that_is_not_answered_is_not_taken_for_done() -> None:
    outcome = documents.read_delete_result(b"<DeleteResult/>", [DeleteObject("b", "a")], quiet=False)[0]
    assert isinstance(outcome, DeleteFailure)
    assert isinstance(outcome.error, BackendMisbehaved)


def test_an_upload_id_is_read_as_it_was_written() -> None:
    assert documents.read_initiate_result(documents.write_initiate_result("b", "k", "u&")) == "u&"
    with pytest.raises(MalformedDocument):
        documents.read_initiate_result(b"<InitiateMultipartUploadResult/>")


def test_receipts_are_read_as_they_were_written() -> None:
    receipts = (Receipt(2, "e2", Checksum("sha256", "A" * 43 + "=")), Receipt(1, "e1"))
    assert documents.read_complete_request(documents.write_complete_request(receipts)) == receipts


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", MalformedDocument),
        (b"<Part><PartNumber>1</PartNumber></Part>", MalformedDocument),
        (b"<Part><ETag>e</ETag></Part>", MalformedDocument),
        (b"<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>", MalformedDocument),
        (b"<Part><PartNumber>-1</PartNumber><ETag>e</ETag></Part>", MalformedDocument),
        (b"<Part><PartNumber>0</PartNumber><ETag>e</ETag></Part>", InvalidArgument),
        (b"<Part><PartNumber>10001</PartNumber><ETag>e</ETag></Part>", InvalidArgument),
    ],
)
def test_a_complete_of_nothing_or_of_impossible_parts_is_refused(content: bytes, kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        documents.read_complete_request(b"<CompleteMultipartUpload>" + content + b"</CompleteMultipartUpload>")


def test_a_complete_may_succeed_behind_white_space_or_fail_with_200() -> None:
    stored = Stored("e-2", checksum=Checksum("crc32", "AAAAAA==", composite=True))
    data = documents.write_complete_result("http://h/b/k", "b", "k", stored, parts=2)
    assert texts(data, "ChecksumCRC32") == ["AAAAAA==-2"]
    assert texts(data, "ChecksumType") == ["COMPOSITE"]
    assert documents.read_complete_result(b"  \n " + data) == stored
    failed = documents.read_complete_result(b"\n<Error><Code>InternalError</Code><Message>m</Message></Error>")
    assert failed == documents.ErrorDocument("InternalError", "m", {})
    for data in (b"", b"   ", b"<CompleteMultipartUploadResult/>"):
        with pytest.raises(MalformedDocument):
            documents.read_complete_result(data)


def test_copies_are_read_as_they_were_written() -> None:
    checksum = Checksum("crc64nvme", "AAAAAAAAAAA=")
    expected = Stored("e", last_modified=WHEN, checksum=checksum)
    assert documents.read_copy_result(documents.write_copy_result("e", WHEN, checksum)) == expected
    assert documents.read_copy_result(documents.write_copy_part_result("e", WHEN, checksum)) == expected


def test_attributes_are_read_as_they_were_written() -> None:
    checksum = Checksum("crc32", "AAAAAA==", composite=True)
    whole = ObjectInfo("", 10, "e-2", 0.0, checksum=checksum, part_count=2)
    parts = [Part(1, 5, checksum=Checksum("crc32", "BBBBBA==")), Part(2, 5, checksum=Checksum("crc32", "CCCCCA=="))]
    wanted = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
    data = documents.write_attributes(whole, wanted, parts)
    assert documents.read_attributes(data) == (whole, parts)
    assert texts(data, "ETag") == ["e-2"]
    page = documents.write_attributes(whole, {"ObjectParts"}, parts, part_limit=1)
    assert texts(page, "IsTruncated") == ["true"]
    assert texts(page, "NextPartNumberMarker") == ["1"]
    assert texts(documents.write_attributes(whole, {"ObjectSize"}), "ETag") == []


def test_probes_of_a_bare_bucket_are_answered_as_aws_does() -> None:
    versioning = documents.bare_bucket("versioning")
    assert versioning is not None
    assert len(etree.fromstring(versioning)) == 0
    for probe in ("cors", "encryption", "lifecycle", "object-lock", "policy", "tagging", "website"):
        error = documents.bare_bucket_error(probe, "b")
        assert error is not None
        assert (error.status, error.extra) == (404, {"BucketName": "b"})
        assert documents.bare_bucket(probe) is None
    assert documents.bare_bucket_error("replication") is None
    assert texts(documents.write_acl(Owner("me")), "Permission") == ["FULL_CONTROL"]


def test_a_form_upload_is_answered_without_a_namespace() -> None:
    data = documents.write_post_result("http://h/b/k", "b", "k", "e")
    assert etree.fromstring(data).findtext("ETag") == '"e"'
