"""What is asked: S3's requests as operations.

Two tables name every request that is served, by method and sub-resource; a sub-resource or parameter that they do not
name is refused for every method (checklist 26). Parameters that begin with `x-` mean nothing to S3 but its access log,
unless they are headers in the query of a presigned request.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, NoReturn

from bridge_node.errors import InvalidArgument, InvalidRequest, MissingLength, NotSupported, UnknownMethod
from bridge_node.gateway.frontend import Caller, WithDocument
from bridge_node.gateway.http import Request
from bridge_node.gateway.s3 import fields
from bridge_node.gateway.s3.addressing import Addressing
from bridge_node.gateway.s3.hoisting import with_hoisted
from bridge_node.objects import NO_HEADERS, ByteRange
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    CreateBucket,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    DescribeBucket,
    DescribeObject,
    GetAttributes,
    GetObject,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListObjects,
    ListParts,
    ListUploads,
    ListVersions,
    OpenUpload,
    Operation,
    PutObject,
    StageCopy,
    StagePart,
)
from bridge_node.protocols.http import conditions, parse_copy_range, parse_query, parse_range
from bridge_node.protocols.s3.documents import read_complete_request, read_create_bucket, read_delete_request
from bridge_node.protocols.s3.payload import declared
from bridge_node.protocols.s3.xml import MAX_DEPTH
from bridge_node.values import value

Parsed = Operation | WithDocument

BUCKET_ASPECTS = frozenset(
    {
        "acl", "cors", "encryption", "lifecycle", "location", "object-lock", "policy", "tagging", "versioning",
        "website",
    }
)  # fmt: skip
"""What clients ask about a bucket before they use it (checklist 31a)."""
OBJECT_ASPECTS = frozenset({"acl", "tagging"})
ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})

_PAGE = 1_000
_BUCKETS_PAGE = 10_000
_CHOOSING = frozenset(
    {"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-amz-checksum-mode"}
)
"""Headers that say what of an object is wanted, and when."""
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})


@value
class PostObject(PutObject):
    """A form upload: a PUT that says how it wants to be answered."""

    status: int = 204
    redirect: str = ""


class Ask(NamedTuple):
    """One request, taken apart."""

    bucket: str
    key: str
    values: Mapping[str, str]
    """Decoded query parameters."""
    headers: Mapping[str, str]
    request: Request
    caller: Caller
    max_depth: int
    """Of a document's elements."""


class Rule(NamedTuple):
    """How one kind of request is read, and the query parameters that it may have."""

    parse: Callable[[Ask], Parsed]
    parameters: frozenset[str] = frozenset()


class Parser:
    """Reads requests to a node that says it is in `region`."""

    def __init__(self, addressing: Addressing, region: str, max_depth: int = MAX_DEPTH) -> None:
        """`max_depth` bounds the elements of documents."""
        self._addressing = addressing
        self._region = region
        self._max_depth = max_depth

    def parse(self, request: Request, caller: Caller) -> Parsed:
        """Raises InvalidRequest or NotSupported."""
        bucket, key = self._addressing.split(caller.host, request.path)
        values = parse_query(request.query) if request.query else NO_HEADERS
        headers = with_hoisted(request.headers, values) if values else request.headers
        ask = Ask(bucket, key, values, headers, request, caller, self._max_depth)
        if caller.form is not None:
            return _post_object(ask, caller.form)
        fields.refuse_unknown_meanings(headers)
        if key:
            fields.checked_key(key)
            return _rule(_OBJECT, _OBJECT_MARKS, ask).parse(ask)
        if bucket:
            parsed = _rule(_BUCKET, _BUCKET_MARKS, ask).parse(ask)
            return self._create_bucket(parsed) if isinstance(parsed, CreateBucket) else parsed
        return _rule(_SERVICE, frozenset(), ask).parse(ask)

    def _create_bucket(self, operation: CreateBucket) -> WithDocument:
        """CreateBucket may name the region that the bucket is to be in: there is one."""

        def finish(document: bytes) -> CreateBucket:
            if read_create_bucket(document, self._max_depth) not in {None, self._region}:
                raise InvalidArgument(
                    "The specified location-constraint is not valid", reason="illegal_location_constraint"
                )
            return operation

        return WithDocument(operation, finish)


def _rule(rules: Mapping[str, Rule], marks: frozenset[str], ask: Ask) -> Rule:
    method = ask.request.method
    if not ask.values:
        return rules.get(method) or _no_rule(method)
    mark = next((name for name in ask.values if name in marks), "")
    rule = rules.get(f"{method} ?{mark}" if mark else method)
    for name in ask.values:
        if name != mark and name[:2].lower() != "x-" and (rule is None or name not in rule.parameters):
            raise _unknown_parameter(name)
    if rule is None:
        raise _unknown_parameter(mark) if mark else _no_rule(method)
    return rule


def _no_rule(method: str) -> NoReturn:
    raise UnknownMethod(Method=method, ResourceType="SERVICE") if method in _METHODS else UnknownMethod(Method=method)


def _unknown_parameter(name: str) -> NotSupported:
    return NotSupported(
        "A header or query you provided implies functionality that is not implemented.",
        reason="parameter_not_supported",
        Parameter=name,
    )


# --- objects -------------------------------------------------------------------------------------------------------


def _get_object(ask: Ask) -> GetObject:
    headers, values = ask.headers, ask.values
    if not values and _CHOOSING.isdisjoint(headers):
        return GetObject(ask.bucket, ask.key)
    fields.check_overrides(values)
    return GetObject(
        ask.bucket,
        ask.key,
        _range(headers),
        _part_of_read(ask),
        conditions(headers),
        fields.version(values),
        _wants_checksum(headers),
        if_range=fields.if_range(headers),
    )


def _head_object(ask: Ask) -> HeadObject:
    fields.check_overrides(ask.values)
    return HeadObject(
        ask.bucket,
        ask.key,
        _range(ask.headers),
        _part_of_read(ask),
        conditions(ask.headers),
        fields.version(ask.values),
        _wants_checksum(ask.headers),
    )


def _range(headers: Mapping[str, str]) -> ByteRange | None:
    return parse_range(headers["range"]) if "range" in headers else None


def _wants_checksum(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"


def _part_of_read(ask: Ask) -> int | None:
    if "partNumber" not in ask.values:
        return None
    if "range" in ask.headers:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter", reason="range_and_part")
    return fields.part_number(ask.values)


def _get_attributes(ask: Ask) -> GetAttributes:
    names = wanted_attributes(ask.headers)
    if not names or not names <= ATTRIBUTES:
        raise InvalidArgument(
            "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes", reason="object_attributes"
        )
    return GetAttributes(
        ask.bucket,
        ask.key,
        fields.version(ask.values),
        conditions(ask.headers),
        parts="ObjectParts" in names,
        after_part=fields.count(ask.headers, "x-amz-part-number-marker", 0),
        part_limit=fields.count(ask.headers, "x-amz-max-parts", _PAGE, most=_PAGE),
    )


def wanted_attributes(headers: Mapping[str, str]) -> frozenset[str]:
    """The names in x-amz-object-attributes."""
    names = headers.get("x-amz-object-attributes", "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def _describe_object(aspect: str) -> Rule:
    return Rule(
        lambda ask: DescribeObject(ask.bucket, ask.key, aspect, fields.version(ask.values)), frozenset({"versionId"})
    )


def _put_object(ask: Ask) -> PutObject | CopyObject:
    if "x-amz-copy-source" in ask.headers:
        return _copy_object(ask)
    _need_length(ask)
    said = declared(ask.headers)
    return PutObject(
        ask.bucket,
        ask.key,
        source=ask.caller.body,
        content=fields.content_headers(ask.headers),
        metadata=fields.user_metadata(ask.headers),
        conditions=fields.write_conditions(ask.headers),
        checksum=said.checksum,
        checksum_algorithm=said.algorithm,
        md5=said.md5,
    )


def _need_length(ask: Ask) -> None:
    if not ask.request.has_length or ask.caller.body.size is None:
        raise MissingLength


def _copy_object(ask: Ask) -> CopyObject:
    directive = ask.headers.get("x-amz-metadata-directive", "COPY")
    if directive not in {"COPY", "REPLACE"}:
        raise InvalidArgument(
            "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive", ArgumentValue=directive
        )
    replace = directive == "REPLACE"
    return CopyObject(
        ask.bucket,
        ask.key,
        source=fields.copy_source(ask.headers),
        content=fields.content_headers(ask.headers) if replace else None,
        metadata=fields.user_metadata(ask.headers) if replace else None,
        conditions=fields.write_conditions(ask.headers),
        checksum_algorithm=fields.checksum_algorithm(ask.headers),
    )


def _delete_object(ask: Ask) -> DeleteObject:
    return DeleteObject(ask.bucket, ask.key, fields.version(ask.values), fields.write_conditions(ask.headers))


def _post_object(ask: Ask, form: Mapping[str, str]) -> PostObject:
    """`form` has the headers of a PUT as fields; `acl` and `tagging` are theirs without the prefix."""
    if not ask.bucket or ask.key or ask.values:
        raise UnknownMethod(Method="POST", ResourceType="OBJECT" if ask.key else "SERVICE")
    headers = fields.headers_of_form(form)
    fields.refuse_unknown_meanings(headers)
    for name in form.keys() & {"acl", "tagging"}:
        fields.refuse_other_than_default(f"x-amz-{name}", form[name])
    said = declared(headers)
    status = form.get("success_action_status", "")
    return PostObject(
        ask.bucket,
        fields.checked_key(form["key"]),
        source=ask.caller.body,
        content=fields.content_headers(headers),
        metadata=fields.user_metadata(headers),
        checksum=said.checksum,
        checksum_algorithm=said.algorithm,
        md5=said.md5,
        status=int(status) if status in {"200", "201"} else 204,
        redirect=form.get("success_action_redirect") or form.get("redirect", ""),
    )


# --- uploads in parts ----------------------------------------------------------------------------------------------


def _open_upload(ask: Ask) -> OpenUpload:
    algorithm = fields.checksum_algorithm(ask.headers)
    return OpenUpload(
        ask.bucket,
        ask.key,
        content=fields.content_headers(ask.headers),
        metadata=fields.user_metadata(ask.headers),
        checksum_algorithm=algorithm,
        checksum_composite=fields.checksum_is_composite(ask.headers, algorithm),
    )


def _stage_part(ask: Ask) -> StagePart | StageCopy:
    upload, label = ask.values["uploadId"], fields.part_number(ask.values)
    if "x-amz-copy-source" in ask.headers:
        span = ask.headers.get("x-amz-copy-source-range")
        source = fields.copy_source(ask.headers)
        return StageCopy(
            ask.bucket,
            ask.key,
            upload,
            label=label,
            source=source,
            range=parse_copy_range(span) if span is not None else None,
        )
    _need_length(ask)
    said = declared(ask.headers)
    return StagePart(
        ask.bucket,
        ask.key,
        upload,
        label=label,
        source=ask.caller.body,
        checksum=said.checksum,
        checksum_algorithm=said.algorithm,
        md5=said.md5,
    )


def _commit_upload(ask: Ask) -> WithDocument:
    size = ask.headers.get("x-amz-mp-object-size")
    operation = CommitUpload(
        ask.bucket,
        ask.key,
        ask.values["uploadId"],
        conditions=fields.write_conditions(ask.headers),
        checksum=fields.object_checksum(ask.headers),
        size=None if size is None else _object_size(size),
    )
    return WithDocument(
        operation, lambda document: replace(operation, receipts=read_complete_request(document, ask.max_depth))
    )


def _object_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidArgument(ArgumentName="x-amz-mp-object-size", ArgumentValue=text)
    return int(text)


def _abort_upload(ask: Ask) -> AbortUpload:
    return AbortUpload(ask.bucket, ask.key, ask.values["uploadId"])


def _list_parts(ask: Ask) -> ListParts:
    fields.check_encoding_type(ask.values)
    return ListParts(
        ask.bucket,
        ask.key,
        ask.values["uploadId"],
        fields.count(ask.values, "part-number-marker", 0),
        fields.count(ask.values, "max-parts", _PAGE, most=_PAGE),
    )


# --- buckets -------------------------------------------------------------------------------------------------------


def _list_buckets(ask: Ask) -> ListBuckets:
    limit = fields.count(ask.values, "max-buckets", _BUCKETS_PAGE)
    if not 1 <= limit <= _BUCKETS_PAGE:
        raise InvalidArgument(ArgumentName="max-buckets", ArgumentValue=str(limit))
    prefix = ask.values.get("prefix", "")
    return ListBuckets(prefix, limit=limit, token=ask.values.get("continuation-token") or None)


def _list_objects_v1(ask: Ask) -> ListObjects:
    fields.check_encoding_type(ask.values)
    values = ask.values
    return ListObjects(
        ask.bucket,
        values.get("prefix", ""),
        values.get("delimiter", ""),
        values.get("marker", ""),
        limit=fields.count(values, "max-keys", _PAGE, most=_PAGE),
    )


def _list_objects_v2(ask: Ask) -> ListObjects:
    fields.check_encoding_type(ask.values)
    values = ask.values
    if values["list-type"] != "2":
        raise InvalidArgument("Invalid List Type", ArgumentName="list-type", ArgumentValue=values["list-type"])
    return ListObjects(
        ask.bucket,
        values.get("prefix", ""),
        values.get("delimiter", ""),
        values.get("start-after", ""),
        values.get("continuation-token"),
        fields.count(values, "max-keys", _PAGE, most=_PAGE),
    )


def _list_versions(ask: Ask) -> ListVersions:
    fields.check_encoding_type(ask.values)
    values = ask.values
    if values.get("version-id-marker") and not values.get("key-marker"):
        raise InvalidArgument(
            "A version-id marker cannot be specified without a key marker.", ArgumentName="version-id-marker"
        )
    return ListVersions(
        ask.bucket,
        values.get("prefix", ""),
        values.get("delimiter", ""),
        values.get("key-marker", ""),
        values.get("version-id-marker") or None,
        fields.count(values, "max-keys", _PAGE, most=_PAGE),
    )


def _list_uploads(ask: Ask) -> ListUploads:
    fields.check_encoding_type(ask.values)
    values = ask.values
    after = values.get("key-marker", "")
    return ListUploads(
        ask.bucket,
        values.get("prefix", ""),
        values.get("delimiter", ""),
        after,
        values.get("upload-id-marker") or None if after else None,  # S3 ignores it without a key-marker
        fields.count(values, "max-uploads", _PAGE, most=_PAGE),
    )


def _delete_objects(ask: Ask) -> WithDocument:
    def finish(document: bytes) -> DeleteObjects:
        items, quiet = read_delete_request(ask.bucket, document, ask.max_depth)
        for item in items:
            fields.checked_key(item.key)
        return DeleteObjects(ask.bucket, items, quiet)

    return WithDocument(DeleteObjects(ask.bucket), finish)


def _describe_bucket(aspect: str) -> Rule:
    return Rule(lambda ask: DescribeBucket(ask.bucket, aspect))


# --- the tables ----------------------------------------------------------------------------------------------------

_READ = frozenset({"versionId", "partNumber", *fields.OVERRIDES})
_LIST = frozenset({"prefix", "delimiter", "encoding-type"})

_OBJECT: Mapping[str, Rule] = {
    "GET": Rule(_get_object, _READ),
    "HEAD": Rule(_head_object, _READ),
    "PUT": Rule(_put_object),
    "DELETE": Rule(_delete_object, frozenset({"versionId"})),
    "GET ?attributes": Rule(_get_attributes, frozenset({"versionId"})),
    "POST ?uploads": Rule(_open_upload),
    "PUT ?uploadId": Rule(_stage_part, frozenset({"partNumber"})),
    "POST ?uploadId": Rule(_commit_upload),
    "DELETE ?uploadId": Rule(_abort_upload),
    "GET ?uploadId": Rule(_list_parts, frozenset({"max-parts", "part-number-marker", "encoding-type"})),
    **{f"GET ?{aspect}": _describe_object(aspect) for aspect in OBJECT_ASPECTS},
}
_BUCKET: Mapping[str, Rule] = {
    "GET": Rule(_list_objects_v1, _LIST | {"marker", "max-keys"}),
    "HEAD": Rule(lambda ask: HeadBucket(ask.bucket)),
    "PUT": Rule(lambda ask: CreateBucket(ask.bucket)),
    "DELETE": Rule(lambda ask: DeleteBucket(ask.bucket)),
    "GET ?list-type": Rule(_list_objects_v2, _LIST | {"start-after", "continuation-token", "max-keys", "fetch-owner"}),
    "GET ?versions": Rule(_list_versions, _LIST | {"key-marker", "version-id-marker", "max-keys"}),
    "GET ?uploads": Rule(_list_uploads, _LIST | {"key-marker", "upload-id-marker", "max-uploads"}),
    "POST ?delete": Rule(_delete_objects),
    **{f"GET ?{aspect}": _describe_bucket(aspect) for aspect in BUCKET_ASPECTS},
}
_SERVICE: Mapping[str, Rule] = {
    "GET": Rule(_list_buckets, frozenset({"prefix", "continuation-token", "max-buckets"})),
}


def _marks(rules: Mapping[str, Rule]) -> frozenset[str]:
    """The sub-resources of a table."""
    return frozenset(name.partition("?")[2] for name in rules if "?" in name)


_OBJECT_MARKS = _marks(_OBJECT)
_BUCKET_MARKS = _marks(_BUCKET)
