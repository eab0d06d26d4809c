import json
import socket
import struct

import pytest
from pydantic import SecretStr

from bridge_node import channel
from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, BucketAttachment, Catalog, Repository
from bridge_node.channel import Applied, Channel, ChannelError, Drain, Heartbeat, Ready, Start, Update
from bridge_node.operations import Access
from bridge_node.settings import Gateway, Settings

SPEC = BackendSpec("disk", "s3", access_key="AK", secret_key=SecretStr("s3cr3t"), idle_seconds=7)
CATALOG = Catalog(
    version=3,
    repositories={
        "r": Repository(
            "r",
            "photos",
            "s3",
            token_key=bytes(range(256))[-32:],
            buckets=(BucketAttachment("b", SPEC, "real", folder="nick"),),
            accounts=(AccountAttachment("a", SPEC),),
        )
    },
    keys={
        "AK1": AccessKey("AK1", SecretStr("one"), "r", Access.READ | Access.WRITE, frozenset({"real"})),
        "AK2": AccessKey("AK2", SecretStr("two"), "r", Access.ADMIN),
    },
)


async def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return await Channel.open(ours), await Channel.open(theirs)


async def test_a_catalog_arrives_as_it_was_sent_secrets_included() -> None:
    near, far = await pair()
    await near.send(Update(CATALOG))
    assert await far.receive() == Update(CATALOG)
    await near.close()
    await far.close()


async def test_messages_arrive_in_order_and_the_end_is_the_end() -> None:
    near, far = await pair()
    start = Start(
        1, Settings(gateway=Gateway(workers=3)), CATALOG, sockets=(7, 9), counters=11, traffic=12, journal_stream="8:9"
    )
    sent = [start, Heartbeat(), Ready(3), Drain(2.5), Drain(2), Applied(4)]
    for message in sent:
        await near.send(message)
    await near.close()
    assert [message async for message in far] == sent
    await far.close()


async def test_a_message_to_a_process_that_is_gone_is_swallowed() -> None:
    near, far = await pair()
    await far.close()
    for _ in range(3):
        await near.send(Update(CATALOG))
    assert await near.receive() is None
    await near.close()


async def test_another_version_is_refused_by_name() -> None:
    ours, theirs = socket.socketpair()
    far = await Channel.open(theirs)
    ours.sendall(struct.pack("!IB", 2, 99) + b"{}")
    with pytest.raises(ChannelError, match="version 99"):
        await far.receive()
    ours.close()
    await far.close()


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Popen", "args": ["sh"]},
        {"type": "Ready"},
        {"type": "Ready", "version": "4"},
        {"type": "Ready", "version": True},
        {"type": "Drain", "limit": None},
        {"type": "Update", "catalog": {"version": 1, "repositories": [], "keys": {}}},
        [],
        7,
    ],
)
def test_what_is_no_message_is_refused(document: object) -> None:
    with pytest.raises(ChannelError):
        channel.decode(json.dumps(document).encode())


def test_a_field_that_is_missing_is_named_and_what_to_do_about_it() -> None:
    frame = json.loads(channel.encode(Update(CATALOG))[5:])
    del frame["catalog"]["keys"]["AK1"]["access"]
    with pytest.raises(ChannelError, match=r"^AccessKey comes without access: .* restart the node$"):
        channel.decode(json.dumps(frame).encode())


def test_an_unreadable_message_is_not_repeated_in_the_error() -> None:
    frame = channel.encode(Update(CATALOG))[5:].replace(b'"access":4', b'"access":"?"')
    with pytest.raises(ChannelError) as caught:
        channel.decode(frame)
    assert "s3cr3t" not in repr(caught.value)
    assert caught.value.__cause__ is None
