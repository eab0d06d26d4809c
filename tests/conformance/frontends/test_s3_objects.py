"""Objects through the S3 frontend, byte for byte."""

from tests.conformance.frontends.harness import Gateway


async def test_what_was_put_is_got(gateway: Gateway) -> None:
    put = await gateway.call("PUT", "/photos/a%20b.txt", b"hello")
    assert put.status == 200
    got = await gateway.call("GET", "/photos/a%20b.txt")
    assert (got.status, got.body) == (200, b"hello")
    assert got.headers["etag"] == put.headers["etag"]
