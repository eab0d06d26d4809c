"""The signed policy of a browser's form upload, and the fields that it governs.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge_node.errors import (
    AccessDenied,
    MalformedDocument,
    MissingCredentials,
    PartTooSmall,
    SignatureMismatch,
    TooLarge,
    UnsupportedSignature,
)
from bridge_node.protocols.s3.form import Form, missing_field
from bridge_node.protocols.s3.sigv4 import (
    ALGORITHM,
    QUERY_MALFORMED,
    UNSIGNED_PAYLOAD,
    Authorization,
    malformed_date,
    parse_amz_date,
    parse_credential,
)
from bridge_node.protocols.s3.xml import parse_iso_date

_NEEDED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature", "Policy")
_NOT_GOVERNED = frozenset({"policy", "x-amz-signature"})
_SIZE = re.compile(r"\d{1,18}", re.ASCII)


def parse_fields(fields: Mapping[str, str]) -> Authorization:
    """Credentials of a form; what `signature` signs is the text of the field `policy` (SigningKey.sign).

    Raises MissingCredentials, MalformedCredentials, UnsupportedSignature, SignatureMismatch for what is no signature,
    or InvalidArgument for a form with some of the fields.
    """
    if "awsaccesskeyid" in fields:
        raise UnsupportedSignature(reason="signature_v2")
    if not any(name.lower() in fields for name in _NEEDED if name != "Policy"):
        raise MissingCredentials
    for name in _NEEDED:
        if not fields.get(name.lower()):
            raise missing_field(name)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise UnsupportedSignature
    access_key, date, region, service = parse_credential(
        fields["x-amz-credential"], "Error parsing the X-Amz-Credential parameter; ", QUERY_MALFORMED
    )
    amz_date, signature = fields["x-amz-date"], fields["x-amz-signature"]
    timestamp = parse_amz_date(amz_date)
    if timestamp is None or not amz_date.startswith(date):
        raise malformed_date(date, amz_date)
    if not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise SignatureMismatch
    return Authorization(access_key, date, region, service, amz_date, timestamp, (), signature, UNSIGNED_PAYLOAD)


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """content-length-range of a policy, inclusive."""

    smallest: int = 0
    largest: int | None = None

    def check(self, size: int) -> None:
        """Raises PartTooSmall or TooLarge (S3's EntityTooSmall and EntityTooLarge)."""
        if size < self.smallest:
            raise PartTooSmall(ProposedSize=str(size), MinSizeAllowed=str(self.smallest))
        if self.largest is not None and size > self.largest:
            raise TooLarge(ProposedSize=str(size), MaxSizeAllowed=str(self.largest))

    def and_also(self, smallest: int, largest: int) -> "SizeLimits":
        """What both allow."""
        return SizeLimits(max(self.smallest, smallest), largest if self.largest is None else min(self.largest, largest))


def check_policy(form: Form, bucket: str, now: float) -> SizeLimits:
    """Holds every field of the form, and `bucket`, to the policy; the signature must have been checked before.

    Every field must be named by a condition, except the policy, its signature and `x-ignore-…`. Raises AccessDenied,
    or MalformedDocument for a policy that is none.
    """
    policy = _decoded(form.fields.get("policy", ""))
    if _expiration(policy) <= now:
        raise AccessDenied("Invalid according to Policy: Policy expired.", reason="policy_expired")
    values = {**form.fields, "bucket": bucket}
    limits = SizeLimits()
    named = set()
    for operator, name, value in _conditions(policy):
        if operator == "content-length-range":
            limits = limits.and_also(_size(name, value), _size(value, name))
        else:
            _hold(operator, name, value, values)
            named.add(name[1:].lower())
    _refuse_extra(values, named)
    if form.fields.get("bucket", bucket) != bucket:
        raise _failed("eq", "$bucket", bucket)
    return limits


def _decoded(text: str) -> dict[str, object]:
    try:
        policy = json.loads(base64.b64decode(text, validate=True), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _malformed("Invalid JSON.") from error
    if not isinstance(policy, dict):
        raise _malformed("Invalid JSON.")
    return policy


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _expiration(policy: Mapping[str, object]) -> float:
    expiration = policy.get("expiration")
    if not isinstance(expiration, str):
        raise _malformed("Policy missing expiration.")
    try:
        return parse_iso_date(expiration)
    except MalformedDocument as error:
        raise _malformed("Invalid 'expiration' value.") from error


def _conditions(policy: Mapping[str, object]) -> Iterable[tuple[str, str, str]]:
    """Operator, `$name` and value of every condition; the two bounds of a content-length-range."""
    conditions = policy.get("conditions")
    if not isinstance(conditions, list):
        raise _malformed("Policy missing conditions.")
    for condition in conditions:
        if isinstance(condition, dict):
            yield _simple_condition(condition)
        elif isinstance(condition, list):
            yield _condition(condition)
        else:
            raise _malformed("Invalid Condition: conditions must be objects or arrays.")


def _simple_condition(condition: Mapping[str, object]) -> tuple[str, str, str]:
    if len(condition) != 1:
        raise _malformed("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    name, value = next(iter(condition.items()))
    if not isinstance(value, str):
        raise _malformed("Invalid Simple-Condition: value must be a string.")
    return "eq", f"${name}", value


def _condition(condition: list[object]) -> tuple[str, str, str]:
    match condition:
        case [str(operator), str(name), str(value)] if operator.lower() in {"eq", "starts-with"}:
            return operator.lower(), name, value
        case [str(operator), str() | int() as low, str() | int() as high] if operator.lower() == "content-length-range":
            return operator.lower(), str(low), str(high)
    raise _malformed("Invalid Condition: unknown operation or wrong number of operands.")


def _hold(operator: str, name: str, value: str, values: Mapping[str, str]) -> None:
    """Like S3, a condition on a field that is absent fails, even one that would allow any value."""
    given = values.get(name[1:].lower()) if name.startswith("$") else None
    if given is None or not _agrees(operator, name, value, given):
        raise _failed(operator, name, value)


def _agrees(operator: str, name: str, value: str, given: str) -> bool:
    if operator == "eq":
        return given == value
    if name.lower() == "$content-type":
        return all(item.strip().startswith(value) for item in given.split(","))
    return given.startswith(value)


def _refuse_extra(values: Mapping[str, str], named: set[str]) -> None:
    for name in values:
        if name not in named and name not in _NOT_GOVERNED and not name.startswith("x-ignore-"):
            raise AccessDenied(f"Invalid according to Policy: Extra input fields: {name}", reason="policy_extra_field")


def _size(bound: str, other: str) -> int:
    if not _SIZE.fullmatch(bound):
        raise _failed("content-length-range", bound, other)
    return int(bound)


def _failed(operator: str, name: str, value: str) -> AccessDenied:
    condition = json.dumps([operator, name, value], ensure_ascii=False)
    return AccessDenied(
        f"Invalid according to Policy: Policy Condition failed: {condition}", reason="policy_condition_failed"
    )


def _malformed(message: str) -> MalformedDocument:
    return MalformedDocument(f"Invalid Policy: {message}", reason="malformed_policy")
