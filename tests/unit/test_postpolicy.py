"""Form uploads: AWS's example passes, every condition is held, and a form that is none is refused."""

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.body import BytesSource
from bridge_node.errors import (
    AccessDenied,
    BridgeError,
    IncompleteBody,
    InvalidArgument,
    InvalidRequest,
    MalformedCredentials,
    MalformedDocument,
    MalformedFraming,
    MissingCredentials,
    MissingLength,
    PartTooSmall,
    PreconditionFailed,
    SignatureMismatch,
    TooLarge,
    UnsupportedSignature,
)
from bridge_node.protocols.s3.errors import to_wire
from bridge_node.protocols.s3.form import Form, read_form
from bridge_node.protocols.s3.postpolicy import SizeLimits, check_policy, parse_fields
from bridge_node.protocols.s3.sigv4 import SigningKey
from tests.unit.pieces import Pieces, cut, drained

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "sigv4_s3_post.json").read_text())
EXPIRES = 1451476800.0
NOW = EXPIRES - 1
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def encoded(
    fields: Sequence[tuple[str, str]], file: bytes = b"", filename: str | None = "photo.jpg", *, end: str = "--\r\n"
) -> bytes:
    """A form as a browser sends it."""
    body = b""
    for name, value in fields:
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    named = "" if filename is None else f'; filename="{filename}"'
    body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"{named}\r\n'.encode()
    return body + b"Content-Type: image/jpeg\r\n\r\n" + file + f"\r\n--{BOUNDARY}{end}".encode()


async def form_of(fields: dict[str, str], file: bytes = b"", filename: str | None = "photo.jpg") -> Form:
    return await read_form(BytesSource(encoded([*fields.items()], file, filename)), CONTENT_TYPE)


async def refusal(body: bytes, content_type: str = CONTENT_TYPE) -> BridgeError:
    """What the form or its file is refused with; nothing but a part of the file may come out before."""
    with pytest.raises(BridgeError) as caught:
        await drained((await read_form(Pieces(cut(body, range(0, len(body), 7)), len(body)), content_type)).file)
    return caught.value


# --- AWS's example -------------------------------------------------------------------------------------------------


async def test_the_form_of_aws_is_signed_and_allowed() -> None:
    form = await form_of(VECTOR["fields"], b"\xff\xd8jpeg")
    auth = parse_fields(form.fields)
    key = SigningKey(VECTOR["secret"], auth.date, auth.region)
    assert key.sign(form.fields["policy"].encode()) == auth.signature == VECTOR["fields"]["X-Amz-Signature"]
    assert check_policy(form, VECTOR["bucket"], NOW) == SizeLimits()
    assert form.key() == "user/user1/photo.jpg"
    assert form.file.size == 6
    assert await drained(form.file) == b"\xff\xd8jpeg"


async def test_the_form_of_aws_expires() -> None:
    form = await form_of(VECTOR["fields"])
    with pytest.raises(AccessDenied, match="Policy expired"):
        check_policy(form, VECTOR["bucket"], EXPIRES)


@pytest.mark.parametrize("name", [name for name in VECTOR["fields"] if name not in {"Policy", "X-Amz-Signature"}])
async def test_no_field_of_a_signed_form_may_be_changed_or_left_out(name: str) -> None:
    # The two that may begin as they like are held to their beginning, and must be there.
    changes = [{name: "x" + VECTOR["fields"][name]}] if name != "x-amz-meta-tag" else []
    for fields in (*({**VECTOR["fields"], **change} for change in changes), _without(name)):
        with pytest.raises(AccessDenied, match="Policy Condition failed"):
            check_policy(await form_of(fields), VECTOR["bucket"], NOW)


def _without(name: str) -> dict[str, str]:
    return {field: value for field, value in VECTOR["fields"].items() if field != name}


async def test_a_signed_form_is_for_its_bucket_alone() -> None:
    with pytest.raises(AccessDenied, match="bucket"):
        check_policy(await form_of(VECTOR["fields"]), "other", NOW)
    with pytest.raises(AccessDenied, match="bucket"):
        check_policy(await form_of({**VECTOR["fields"], "bucket": "other"}), VECTOR["bucket"], NOW)


async def test_a_field_that_no_condition_names_is_refused() -> None:
    with pytest.raises(AccessDenied, match="Extra input fields: x-amz-meta-more"):
        check_policy(await form_of({**VECTOR["fields"], "X-Amz-Meta-More": "1"}), VECTOR["bucket"], NOW)
    check_policy(await form_of({**VECTOR["fields"], "x-ignore-this": "1"}), VECTOR["bucket"], NOW)


# --- credentials ---------------------------------------------------------------------------------------------------


def _fields(**changes: str | None) -> dict[str, str]:
    fields = {name.lower(): value for name, value in VECTOR["fields"].items()}
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in {**fields, **changed}.items() if value is not None}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key": "k", "policy": "x"}, MissingCredentials),
        ({"awsaccesskeyid": "AK", "signature": "x"}, UnsupportedSignature),
        (_fields(x_amz_signature=None), InvalidArgument),
        (_fields(x_amz_algorithm=None), InvalidArgument),
        (_fields(x_amz_date=None), InvalidArgument),
        (_fields(policy=None), InvalidArgument),
        (_fields(x_amz_algorithm="AWS4-ECDSA-P256-SHA256"), UnsupportedSignature),
        (_fields(x_amz_credential="AK/20151229"), MalformedCredentials),
        (_fields(x_amz_date="20151230T000000Z"), MalformedCredentials),
        (_fields(x_amz_date="now"), MalformedCredentials),
        (_fields(x_amz_signature="zz"), SignatureMismatch),
    ],
)
def test_credentials_that_are_none_are_refused(fields: dict[str, str], kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        parse_fields(fields)


# --- conditions ----------------------------------------------------------------------------------------------------


async def check(
    conditions: object, expiration: object = "2015-12-30T12:00:00Z", bucket: str = "b", **fields: str
) -> SizeLimits:
    policy = json.dumps({"expiration": expiration, "conditions": conditions})
    text = base64.b64encode(policy.encode()).decode()
    return check_policy(await form_of({**fields, "policy": text}), bucket, NOW)


B = {"bucket": "b"}


@pytest.mark.parametrize(
    "condition",
    [
        {"key": "user/a"},
        {"KEY": "user/a"},
        ["eq", "$key", "user/a"],
        ["EQ", "$Key", "user/a"],
        ["starts-with", "$key", "user/"],
        ["Starts-With", "$key", ""],
    ],
)
async def test_conditions_that_hold(condition: object) -> None:
    assert await check([B, condition], key="user/a") == SizeLimits()


@pytest.mark.parametrize(
    "condition",
    [
        {"key": "user/b"},
        {"key": "USER/A"},
        ["eq", "key", "user/a"],
        ["eq", "$key", "user/"],
        ["starts-with", "$key", "User/"],
        ["starts-with", "$key", "user/aa"],
        ["starts-with", "$absent", ""],
        {"absent": ""},
    ],
)
async def test_conditions_that_fail(condition: object) -> None:
    with pytest.raises(AccessDenied, match="Policy Condition failed"):
        await check([B, ["starts-with", "$key", ""], condition], key="user/a")


async def test_every_condition_on_a_field_must_hold() -> None:
    conditions = [B, ["starts-with", "$key", "a"], ["starts-with", "$key", "ab"]]
    await check(conditions, key="abc")
    with pytest.raises(AccessDenied):
        await check(conditions, key="acb")


async def test_the_bucket_must_be_named() -> None:
    with pytest.raises(AccessDenied, match="Extra input fields: bucket"):
        await check([{"key": "a"}], key="a")


async def test_a_list_of_content_types_is_held_one_by_one() -> None:
    conditions = [B, {"key": "a"}, ["starts-with", "$Content-Type", "image/"]]
    await check(conditions, key="a", **{"Content-Type": "image/jpg,image/png, image/gif"})
    with pytest.raises(AccessDenied):
        await check(conditions, key="a", **{"Content-Type": "image/jpg,text/plain"})


@pytest.mark.parametrize("bounds", [(5, 10), ("5", "10")])
async def test_sizes_are_limited_inclusively(bounds: tuple[object, object]) -> None:
    limits = await check([B, {"key": "a"}, ["content-length-range", *bounds]], key="a")
    assert limits == SizeLimits(5, 10)
    limits.check(5)
    limits.check(10)
    with pytest.raises(PartTooSmall) as small:
        limits.check(4)
    assert to_wire(small.value).code == "EntityTooSmall"
    with pytest.raises(TooLarge) as large:
        limits.check(11)
    assert to_wire(large.value).extra == {"ProposedSize": "11", "MaxSizeAllowed": "10"}


async def test_several_size_limits_all_hold() -> None:
    ranges = [["content-length-range", 1, 100], ["content-length-range", 5, 200]]
    assert await check([B, {"key": "a"}, *ranges], key="a") == SizeLimits(5, 100)


@pytest.mark.parametrize("bounds", [("x", 1), (1, "x"), (-1, 5), (True, 5), (1, 10**30)])
async def test_sizes_that_are_none_fail(bounds: tuple[object, object]) -> None:
    with pytest.raises(AccessDenied):
        await check([B, {"key": "a"}, ["content-length-range", *bounds]], key="a")


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        {},
        "x",
        ["x"],
        [5],
        [None],
        [{}],
        [{"key": "a", "acl": "b"}],
        [{"key": 5}],
        [[]],
        [["eq", "$key"]],
        [["eq", "$key", "a", "b"]],
        [["eq", "$key", 5]],
        [["eq", 5, "a"]],
        [["unknown", "$key", "a"]],
        [["content-length-range", 1.5, 2]],
    ],
    ids=repr,
)
async def test_a_policy_of_another_shape_is_refused(conditions: object) -> None:
    with pytest.raises(MalformedDocument) as caught:
        await check(conditions, key="a")
    assert to_wire(caught.value).code == "InvalidPolicyDocument"


@pytest.mark.parametrize("expiration", [None, 5, "", "tomorrow", "2015-12-30"])
async def test_a_policy_must_say_when_it_ends(expiration: object) -> None:
    with pytest.raises(MalformedDocument):
        await check([B], expiration)


@pytest.mark.parametrize(
    "policy",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 15_000,
        b'{"expiration": ' + b"9" * 10_000 + b"}",
        b'{"expiration": "2015-12-30T12:00:00Z", "conditions": [{"bucket": "b", "bucket": "c"}]}',
    ],
    ids=range(7),
)
async def test_a_policy_that_is_no_json_is_refused(policy: bytes) -> None:
    form = await form_of({"policy": base64.b64encode(policy).decode()})
    with pytest.raises(MalformedDocument):
        check_policy(form, "b", NOW)


async def test_a_policy_that_is_no_base64_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        check_policy(await form_of({"policy": "{}"}), "b", NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(JSON | st.lists(st.tuples(st.sampled_from(["eq", "starts-with", "content-length-range"]), JSON, JSON)))
async def test_any_json_is_checked_without_a_crash(conditions: Any) -> None:
    with pytest.raises((AccessDenied, MalformedDocument)):
        await check(conditions, key="a")


# --- the form ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=8), st.booleans())
async def test_a_file_is_read_however_the_form_is_cut(file: bytes, cuts: list[int], waits: bool) -> None:
    body = encoded([("key", "k-${filename}"), ("x-amz-meta-a", "é\r\n--")], file)
    form = await read_form(Pieces(cut(body, cuts, waits=waits), len(body)), CONTENT_TYPE)
    assert form.fields == {"key": "k-photo.jpg", "x-amz-meta-a": "é\r\n--"}
    assert form.file.size == len(file)
    assert await drained(form.file) == file


@given(st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY.encode(), b"\r", b"\n", b"-", b"x"]), max_size=12))
async def test_what_looks_like_a_boundary_belongs_to_the_file_unless_it_is_one(pieces: list[bytes]) -> None:
    file = b"".join(pieces)
    form = await form_of({"key": "k"}, file)
    if f"\r\n--{BOUNDARY}".encode() in file:
        with pytest.raises(MalformedFraming):
            await drained(form.file)
    else:
        assert await drained(form.file) == file


@pytest.mark.parametrize(
    ("filename", "key"),
    [
        ("photo.jpg", "k-photo.jpg"),
        ("C:\\Program Files\\dir\\photo.jpg", "k-photo.jpg"),
        ("/home/me/photo.jpg", "k-photo.jpg"),
        ("é—.jpg", "k-é—.jpg"),
        ('a\\"b.jpg', 'k-a"b.jpg'),
        ("", "k-"),
        (None, "k-${filename}"),
    ],
)
async def test_the_name_of_the_file_is_filled_in_without_its_path(filename: str | None, key: str) -> None:
    assert (await form_of({"key": "k-${filename}"}, filename=filename)).key() == key


async def test_a_field_given_twice_is_joined() -> None:
    body = encoded([("x-amz-meta-tag", "Ninja"), ("X-Amz-Meta-Tag", "Stallman")])
    form = await read_form(BytesSource(body), CONTENT_TYPE)
    assert form.fields == {"x-amz-meta-tag": "Ninja,Stallman"}


async def test_a_form_without_a_key_is_refused_in_s3s_words() -> None:
    with pytest.raises(InvalidArgument, match="must contain a field named 'key'"):
        (await form_of({"acl": "private"})).key()


@pytest.mark.parametrize(
    "content_type",
    [
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f"Multipart/Form-Data;charset=utf-8; Boundary={BOUNDARY}; x=y",
    ],
)
async def test_the_boundary_is_found(content_type: str) -> None:
    body = encoded([("key", "k")], b"file")
    assert (await read_form(BytesSource(body), content_type)).key() == "k"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "a" * 71,
        'multipart/form-data; boundary="a\r\nb"',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; notboundary=abc",
    ],
)
async def test_a_boundary_that_is_none_is_refused(content_type: str) -> None:
    error = await refusal(encoded([("key", "k")]), content_type)
    assert to_wire(error).code == "MalformedPOSTRequest"


async def test_a_body_that_is_no_form_is_refused() -> None:
    assert isinstance(await refusal(b"", "text/plain"), PreconditionFailed)


async def test_a_form_of_unknown_length_is_refused() -> None:
    with pytest.raises(MissingLength):
        await read_form(Pieces([encoded([])]), CONTENT_TYPE)


async def test_a_form_without_a_file_is_refused() -> None:
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--{BOUNDARY}--\r\n'.encode()
    error = await refusal(body)
    assert isinstance(error, InvalidRequest)
    assert to_wire(error).code == "IncorrectNumberOfFilesInPostRequest"


@pytest.mark.parametrize(
    "body",
    [
        b"garbage" + encoded([("key", "k")]),
        encoded([("key", "k")]).replace(b"form-data;", b"attachment;"),
        encoded([("key", "k")]).replace(b' name="key"', b' nom="key"'),
        encoded([("key", "k")]).replace(b' name="key"', b' name="key"; name="file"'),
        encoded([("key", "k")]).replace(b' name="key"', b' name="key'),
        encoded([("key", "\xff")]).replace("ÿ".encode(), b"\xff"),
        encoded([("key", "k")]).replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b"xx\r\n", 1),
        encoded([("key", "k")], b"file", end="--"),
        encoded([("key", "k")], b"file", end="--\r\nmore"),
        encoded(
            [("key", "k")], b"file", end=f'\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--{BOUNDARY}--\r\n'
        ),
    ],
    ids=range(10),
)
async def test_a_malformed_form_is_refused(body: bytes) -> None:
    error = await refusal(body)
    assert isinstance(error, MalformedFraming | InvalidRequest)


@given(st.integers(0, 400))
async def test_a_form_that_ends_early_is_refused_wherever_it_ends(end: int) -> None:
    body = encoded([("key", "k")], b"content")
    short = body[: min(end, len(body) - 1)]
    with pytest.raises((IncompleteBody, MalformedFraming)):
        await drained((await read_form(Pieces([short], len(body)), CONTENT_TYPE)).file)


async def test_the_fields_are_bounded() -> None:
    for body in (
        encoded([("key", "k" * 30_000)]),
        encoded([(f"x-amz-meta-{i}", "v") for i in range(1000)]),
        b"--" + BOUNDARY.encode() + b"\r\nX: " + b"x" * 30_000,
    ):
        assert to_wire(await refusal(body)).code == "MaxPostPreDataLengthExceededError"
    large = await form_of({"key": "k"}, b"x" * 100_000)
    assert len(await drained(large.file)) == 100_000


@given(st.binary(max_size=300), st.integers(0, 400))
async def test_garbage_is_refused_without_a_crash(garbage: bytes, at: int) -> None:
    good = encoded([("key", "k")], b"content")
    body = good[:at] + garbage + good[at:]
    with suppress(BridgeError):
        await drained((await read_form(BytesSource(body), CONTENT_TYPE)).file)
