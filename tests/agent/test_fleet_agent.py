"""The agent against a platform: a good one, one of the contract alone, and one that does what it should not."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from bridge_node.agent.agent import Agent, Surroundings
from bridge_node.agent.identity import ENROLMENT_FILE, FOLDER, KEYS_FILE, IdentityError
from bridge_node.agent.probing import Prober
from bridge_node.agent.sync import REFUSED_SECONDS
from bridge_node.backends.base import Unobserved
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import Catalog, Repository
from bridge_node.crypto import sealing
from bridge_node.health import BackendHealth, HealthView
from bridge_node.settings import Admin, Settings
from bridge_node.settings import Platform as Link
from bridge_node.telemetry import counters
from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.telemetry.metrics import Recorder
from bridge_node.telemetry.traffic import TrafficReader, TrafficRecorder
from bridge_node.usage import Usage
from tests.agent.peer import (
    NODE,
    ORGANISATION,
    ORGANISATION_PEM,
    Platform,
    always,
    plain_signature_holds,
    refusal,
    repository,
    serving,
)

WITHIN = 5.0


class Node:
    """An agent with nothing around it but what it asks for."""

    def __init__(self, directory: Path, url: str, **link: Any) -> None:
        given: dict[str, Any] = {
            "url": url,
            "organisation": ORGANISATION,
            "organisation_key": SecretStr(ORGANISATION_PEM),
            "node_id": NODE,
            "local_roots": ("disk",),
            "report_seconds": 0.2,
            "retry_limit": 0.2,
            "poll_seconds": 5.0,
            "call_timeout": 2.0,
            **link,
        }
        root = directory / "disk"
        root.mkdir(exist_ok=True)
        self.settings = Settings(state_directory=directory, local_roots={"disk": root}, platform=Link(**given))
        self.ahead = 0.0
        """How far this node's clock is ahead of ours."""
        self.applied: list[Catalog] = []
        self.own = Catalog()
        self.inadmissible: set[str] = set()
        counts = counters.create()
        self.recorder = Recorder(Counters(counts))
        self.counts = CountersReader(counts)
        self.traffic = TrafficReader()
        moved = counters.create()
        self.traffic.join(CountersReader(moved))
        self.worker = TrafficRecorder(Counters(moved), Nobody())
        self.prober = Prober(BackendPool(Unobserved()), Catalog(), Admin())
        self.agent = Agent(
            self.settings,
            Surroundings(self._apply, self._admit, lambda: self.own, self.prober, self.traffic, self.recorder),
            now=lambda: time.time() + self.ahead,
        )

    async def _apply(self, catalog: Catalog) -> None:
        self.applied.append(catalog)

    def _admit(self, repository: Repository) -> None:
        if repository.id in self.inadmissible:
            raise ValueError("no such place")

    @property
    def keys(self) -> set[str]:
        return set(self.applied[-1].keys) if self.applied else set()

    def moves(self, count: int = 1) -> None:
        for _ in range(count):
            self.worker.record(
                Usage("s3", repository="repo-1", bucket_id="bucket-of-repo-1", key_id="key-of-repo-1", received=10)
            )

    def counted(self, metric: str) -> float:
        return sum(values[0] for name, _, values in self.counts.series() if name == f"bridge_node_{metric}")


class Nobody:
    def record(self, usage: Usage) -> None:
        pass


@contextlib.asynccontextmanager
async def living(node: Node) -> AsyncIterator[Node]:
    """Runs the agent while the block runs, and stops it as a kill would."""
    running = asyncio.create_task(node.agent.run(), name="agent")
    try:
        yield node
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


async def until(met: Callable[[], object], within: float = WITHIN) -> None:
    deadline = time.monotonic() + within
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def made(directory: Path, url: str, **link: Any) -> Node:
    return await asyncio.to_thread(Node, directory, url, **link)


def kept(directory: Path) -> bool:
    """Whether a node has put on disk what it serves."""
    return (directory / FOLDER / "catalog" / "answer.jws").exists()


async def restored(node: Node) -> Catalog:
    return await asyncio.to_thread(node.agent.restore)


def reported(platform: Platform) -> int:
    """Requests in all batches, each counted once, as a platform does."""
    return sum(row["requests"] for batch in platform.batches.values() for row in batch.get("usage", ()))


# --- a good platform -----------------------------------------------------------------------------------------------


async def test_a_node_enrols_serves_what_it_is_given_and_reports(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: node.keys == {"AKREPO1"})
            node.prober.view = HealthView(attachments={"bucket-of-repo-1": BackendHealth(True, 0.018, time.time())})
            node.moves(3)
            await until(lambda: reported(platform) == 3)
            await until(lambda: any(report["buckets"] for report in platform.reports))
        (status, *_) = next(report["buckets"] for report in platform.reports if report["buckets"])
        assert (status["unitId"], status["status"], status["latencyMs"]) == ("bucket-of-repo-1", "ONLINE", 18.0)
        assert "signature" not in platform.reports[-1]
        assert node.agent.registrar.standing.state == "registered"


async def test_a_change_is_in_force_within_two_seconds_and_so_is_a_key_taken_away(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: node.keys == {"AKREPO1"})
            platform.give(repository("repo-2", key="AKREPO2"))
            await until(lambda: node.keys == {"AKREPO1", "AKREPO2"}, within=2)
            platform.take_away("repo-1")
            await until(lambda: node.keys == {"AKREPO2"}, within=2)


async def test_an_enrolled_node_needs_the_organisations_key_no_more(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: kept(tmp_path))
        again = await made(tmp_path, platform.url, organisation_key=None)
        assert set((await restored(again)).keys) == {"AKREPO1"}
        async with living(again):
            await until(again.agent.registrar.registered.is_set)
            platform.give(repository(key="AKCHANGED"))
            await until(lambda: again.keys == {"AKCHANGED"})


async def test_the_nodes_own_files_are_for_itself_and_hold_no_secret_of_a_tenant(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: list((tmp_path / FOLDER / "catalog" / "documents").glob("*")))
    for file in (tmp_path / FOLDER).rglob("*"):
        if file.is_file():
            assert file.stat().st_mode & 0o077 == 0 or file.suffix in {".sqlite-wal", ".sqlite-shm"}
            assert b"0123456789-secret-of-the-key" not in file.read_bytes()
    (tmp_path / FOLDER / KEYS_FILE).chmod(0o644)
    with pytest.raises(IdentityError, match="open to every user"):
        await made(tmp_path, platform.url)


async def test_a_node_that_has_to_be_approved_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge_node.agent.registration.WAITING_SECONDS", 0.05)
    async with serving(Platform(waiting=True)) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: node.agent.registrar.standing.state == "waiting")
            assert not node.applied
            platform.waiting = False
            await until(lambda: node.keys == {"AKREPO1"})


async def test_a_probe_that_the_platform_asks_for_is_answered_once(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.tasks = [{"id": "t1", "kind": "probe", "bucket": "nowhere"}, {"id": "t2", "kind": "dance"}]
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: len(platform.results) >= 2)
            platform.tasks = []
        found = {result["id"]: result["status"] for result in platform.results}
        assert found == {"t1": "DISCONNECTED", "t2": "unsupported"}


async def test_a_node_that_leaves_reports_first_and_unregisters_when_told_to(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url, report_seconds=3600.0, unregister_on_drain=True)
        async with living(node):
            await until(lambda: node.keys)
        node.moves(7)
        await node.agent.leave()
        await node.agent.close()
        assert reported(platform) == 7
        assert platform.calls[-1] == "/unregister"


# --- a platform that is away ---------------------------------------------------------------------------------------


async def test_a_node_starts_without_its_platform_and_serves_until_the_lease_ends(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: kept(tmp_path))
    again = await made(tmp_path, platform.url)
    assert set((await restored(again)).keys) == {"AKREPO1"}
    async with living(again):
        again.ahead = platform.lease + 1
        await until(lambda: again.applied == [Catalog()])
        assert not again.agent.sync.serves
        again.ahead = 0.0
        port = int(platform.url.rpartition(":")[2])
        async with serving(platform, port):  # and comes back
            await until(lambda: again.keys == {"AKREPO1"})
    late = await made(tmp_path, platform.url, lease_limit=0.001)
    assert await restored(late) == Catalog()


async def test_every_minute_counts_once_when_answers_are_lost_and_nodes_are_killed(tmp_path: Path) -> None:
    def counted_and_not_answered(request: web.Request, body: bytes) -> tuple[int, bytes]:
        message = json.loads(body)
        platform.batches.setdefault(message["batchId"], message)  # committed, and then it was killed
        return 503, b""

    async with serving(Platform()) as platform:
        platform.give(repository())
        platform.hooks["/status"] = counted_and_not_answered
        node = await made(tmp_path, platform.url)
        async with living(node):
            node.moves(5)
            await until(lambda: reported(platform) == 5)
            node.moves(6)
            await until(lambda: node.agent.collector.depth.batches >= 2)
        del platform.hooks["/status"]
        again = await made(tmp_path, platform.url)  # the node was killed with a full spool
        async with living(again):
            again.moves(1)
            await until(lambda: reported(platform) == 12)
            await until(lambda: again.agent.collector.depth.batches == 0)
    assert reported(platform) == 12


async def test_a_full_disk_under_the_spool_loses_nothing_and_harms_nothing(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        platform.give(repository())
        node = await made(tmp_path, platform.url)
        async with living(node):
            await until(lambda: node.keys)
            spool = node.agent._spool
            await asyncio.to_thread(lambda: spool._database.execute("PRAGMA query_only = ON"))
            node.moves(4)
            await until(lambda: node.agent.collector.unwritten)
            node.moves(5)
            platform.give(repository(key="AKCHANGED"))
            await until(lambda: node.keys == {"AKCHANGED"})
            await asyncio.to_thread(lambda: spool._database.execute("PRAGMA query_only = OFF"))
            await until(lambda: reported(platform) == 9)
    assert reported(platform) == 9


# --- a platform that does what it should not -----------------------------------------------------------------------


async def serving_node(tmp_path: Path, platform: Platform, **link: Any) -> Node:
    platform.give(repository())
    return await made(tmp_path, platform.url, **{"poll_seconds": 0.1, **link})


@pytest.mark.parametrize(
    "answer",
    [
        always(200, b""),
        always(200, b"<html>Sign in to the hotel's network</html>"),
        always(200, b"\x00\xff" * 5000),
        always(200, b"a.b.c"),
        always(302, b""),
        always(500, b"{"),
        always(*refusal(401, "no")),
        always(*refusal(404, "no\r\nsuch route")),
    ],
    ids=["empty", "portal", "binary", "no signature", "redirect", "broken", "401", "404"],
)
async def test_garbage_changes_nothing_and_good_sense_is_taken_up_again(tmp_path: Path, answer: Any) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform)
        async with living(node):
            await until(lambda: node.keys == {"AKREPO1"})
            for route in ("/node/config", "/register", "/status"):
                platform.hooks[route] = answer
            node.moves(2)
            asked = len(platform.calls)
            await until(lambda: len(platform.calls) > asked + 4)
            assert len(node.applied) == 1
            platform.hooks.clear()
            platform.give(repository(key="AKCHANGED"))
            await until(lambda: node.keys == {"AKCHANGED"})
            if answer(None, b"")[0] != 404:  # what the platform will never take is put aside
                await until(lambda: reported(platform) == 2)
            assert node.counted("platform_agent_failures") == 0


async def test_answers_forged_rolled_back_or_endless_change_nothing(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform)
        async with living(node):
            await until(lambda: node.keys == {"AKREPO1"})
            platform.documents.clear()
            others = sealing.new_signing_key()
            for token in (
                platform.signed(platform.answer({}), others),
                platform.signed(platform.answer({}, version=1)),
                platform.signed(platform.answer({}, revoked=True), others),
                b"x" * (64 * 1024 * 1024),
            ):
                asked = platform.calls.count("/node/config")
                platform.hooks["/node/config"] = always(200, token)
                await until(lambda asked=asked: platform.calls.count("/node/config") > asked + 1)  # type: ignore[misc]  # mypy cannot infer it
            assert len(node.applied) == 1
            assert node.counted("platform_answers_refused") >= 3


async def test_a_broken_document_is_counted_and_asked_for_only_now_and_then(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform, poll_seconds=5.0)
        node.inadmissible = {"repo-2"}
        node.ahead = -REFUSED_SECONDS / 2  # so that it may pass without the clocks ever being too far apart
        async with living(node):
            await until(lambda: node.keys == {"AKREPO1"})
            platform.give(repository("repo-2", key="AKREPO2"), repository("repo-3", key="AKREPO1"))
            await until(lambda: platform.questions[-1].known.keys() == {"repo-1", "repo-2", "repo-3"})
            assert node.counted("platform_documents_refused") == 2  # it knows of them, so it is not told again
            node.ahead += REFUSED_SECONDS + 1
            platform.wake()
            await until(lambda: node.counted("platform_documents_refused") == 4)
            platform.take_away("repo-1")  # and makes room for the key
            await until(lambda: set(node.applied[-1].repositories) == {"repo-3"}, within=3)


async def test_a_revoked_node_stops_erases_and_does_not_come_back_by_itself(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform)
        async with living(node):
            await until(lambda: kept(tmp_path))
            platform.revoked = True
            platform.wake()
            await until(lambda: node.applied[-1] == Catalog())
            await until(lambda: not kept(tmp_path))
            assert list((tmp_path / FOLDER / "catalog" / "documents").iterdir()) == []
            registrations = platform.calls.count("/register")
            platform.hooks["/node/config"] = always(*refusal(401, "who?"))
            await until(lambda: node.agent.sync.standing.state == "refused")
            assert platform.calls.count("/register") == registrations
        again = await made(tmp_path, platform.url)
        assert await restored(again) == Catalog()
        assert again.agent.sync.version == platform.version  # nothing older is believed


async def test_other_platform_keys_than_those_pinned_are_not_believed(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform)
        async with living(node):
            await until(lambda: node.keys)
        pinned = (tmp_path / FOLDER / ENROLMENT_FILE).read_bytes()
        platform.key = sealing.new_signing_key()
        again = await made(tmp_path, platform.url)
        async with living(again):
            await until(lambda: again.agent.registrar.standing.state == "not_believed")
        assert (tmp_path / FOLDER / ENROLMENT_FILE).read_bytes() == pinned


async def test_a_platform_that_should_have_keys_is_not_taken_for_one_of_the_contract(tmp_path: Path) -> None:
    keys = tmp_path / "platform-keys.json"
    async with serving(Platform(knows_contract_only=True)) as platform:
        keys.write_text(json.dumps({"keys": [platform.key.as_dict(private=False)]}))
        node = await made(tmp_path, platform.url, platform_keys=keys)
        async with living(node):
            await until(lambda: node.agent.registrar.standing.state == "not_believed")
            assert "/status" not in platform.calls


async def test_a_report_that_is_refused_for_good_is_put_aside(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await serving_node(tmp_path, platform)
        platform.hooks["/status"] = always(*refusal(400, "what is this"))
        async with living(node):
            node.moves(2)
            await until(lambda: list((tmp_path / FOLDER / "rejected").glob("*.json")))
            del platform.hooks["/status"]
            node.moves(3)
            await until(lambda: reported(platform) == 3)


# --- a platform of the contract alone ------------------------------------------------------------------------------


async def test_by_the_contract_alone_a_node_registers_reports_and_unregisters(tmp_path: Path) -> None:
    async with serving(Platform(knows_contract_only=True)) as platform:
        node = await made(tmp_path, platform.url, unregister_on_drain=True)
        node.agent._own_ids = frozenset({"unit-1"})
        health = BackendHealth(False, 0.5, time.time(), "connect")
        node.prober.view = HealthView(attachments={"unit-1": health, "repo/store/other": health})
        async with living(node):
            await until(lambda: len(platform.reports) >= 2)
        await node.agent.leave()
        await node.agent.close()
        for report in platform.reports:
            assert plain_signature_holds(report)
            assert [bucket["unitId"] for bucket in report["buckets"]] == ["unit-1"]
            assert report["buckets"][0]["status"] == "DISCONNECTED"
        assert len({report["timestamp"] for report in platform.reports}) == len(platform.reports)
        assert "/node/config" not in platform.calls
        assert not platform.registered
        assert node.agent.registrar.standing.state == "contract"


async def test_without_the_organisations_key_a_new_node_says_what_it_lacks(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        node = await made(tmp_path, platform.url, organisation_key=None)
        async with living(node):
            await until(lambda: node.agent.registrar.standing.state == "no_key")
        assert platform.calls == []
