"""A browser's form upload: authenticated by its signed policy, and turned into an ordinary PUT.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
"""

from bridge_node.catalog import Catalog
from bridge_node.gateway.frontend import Caller
from bridge_node.gateway.http import Clock, Request
from bridge_node.gateway.s3.addressing import Addressing
from bridge_node.gateway.s3.auth import Authenticator
from bridge_node.protocols.s3.form import read_form
from bridge_node.protocols.s3.payload import verified_body
from bridge_node.protocols.s3.postpolicy import check_policy, parse_fields


def is_form(request: Request) -> bool:
    """Whether a request is a form upload, whose credentials are in its body."""
    return (
        request.method == "POST"
        and "authorization" not in request.headers
        and request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    )


async def caller_of_form(
    request: Request, catalog: Catalog, authenticator: Authenticator, addressing: Addressing, clock: Clock
) -> Caller:
    """Reads the fields up to the file; `Caller.body` is the file, held to its policy and declared digests.

    Raises AuthenticationFailed, AccessDenied for a policy that does not allow this, MalformedDocument or
    InvalidArgument for a form that is none.
    """
    host = request.headers.get("host", "")
    bucket, _ = addressing.split(host, request.path)
    form = await read_form(request.body, request.headers["content-type"])
    auth = parse_fields(form.fields)
    claimant = authenticator.signer_of(auth, form.fields["policy"].encode(), catalog)
    limits = check_policy(form, bucket, clock())
    file, size = await form.settled()
    limits.check(size)
    body = verified_body(file, form.fields, auth, claimant.signing)
    return Caller(claimant.key, claimant.repository, body, host, {**form.fields, "key": form.key()})
