import asyncio
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from bridge_node import settings
from bridge_node.telemetry import access
from bridge_node.telemetry.access import AccessLogFile
from bridge_node.telemetry.logging import choose, configure, redact_text
from bridge_node.usage import Usage

PRESIGNED = (
    "/photos/cat.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Security-Token=TOKEN123&X-Amz-Signature=0123456789abcdef"
)
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=0123456789abcdef"
)


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # pytest's own, which basicConfig would close
    yield io.StringIO()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields(stderr: io.StringIO) -> None:
    configure(settings.Log(), stream=stderr, process="worker-1")
    structlog.get_logger().warning("request_refused", request_id="0A", reason="signature_mismatch")
    (line,) = lines(stderr)
    assert (
        line.items()
        >= {
            "event": "request_refused",
            "level": "warning",
            "request_id": "0A",
            "reason": "signature_mismatch",
            "process": "worker-1",
        }.items()
    )
    assert str(line["timestamp"]).endswith("Z")


def test_what_is_below_the_level_is_not_written(stderr: io.StringIO) -> None:
    configure(settings.Log(level="warning"), stream=stderr)
    structlog.get_logger().info("quiet")
    logging.getLogger("aiohttp").info("quiet too")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(stderr)] == ["loud"]


def test_what_libraries_log_and_warn_takes_the_same_form(stderr: io.StringIO) -> None:
    configure(settings.Log(), stream=stderr)
    logging.getLogger("asyncio").error("Task %s was never retrieved", "x")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    events = lines(stderr)
    assert events[0]["event"] == "Task x was never retrieved"
    assert "old" in str(events[1]["event"])


def test_the_journal_gets_priorities(stderr: io.StringIO) -> None:
    configure(settings.Log(format="journald", level="debug"), stream=stderr)
    log = structlog.get_logger()
    for level in ("debug", "info", "warning", "error", "critical"):
        log.log(logging.getLevelNamesMapping()[level.upper()], "event")
    assert re.findall(r"^<(\d)>\{", stderr.getvalue(), re.MULTILINE) == ["7", "6", "4", "3", "2"]


def test_auto_means_the_journal_only_where_the_stream_leads_there(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        stat = os.fstat(stream.fileno())
        assert choose("auto", stream, f"{stat.st_dev}:{stat.st_ino}") == "journald"
        assert choose("auto", stream, "1:2") == "json"
        assert choose("auto", stream, "") == "json"
        assert choose("pretty", stream, "") == "pretty"


def test_a_terminal_gets_pretty_lines() -> None:
    main, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert choose("auto", stream, "") == "pretty"
    os.close(main)


@pytest.mark.parametrize("form", ["json", "pretty", "journald"])
def test_no_signature_credential_or_token_reaches_the_log(stderr: io.StringIO, form: str) -> None:
    configure(settings.Log.model_validate({"format": form}), stream=stderr)
    log = structlog.get_logger()
    log.warning("target", target=PRESIGNED)
    log.warning("header", authorization=AUTHORIZATION, text=f"Authorization: {AUTHORIZATION}")
    local = "a variable of " + "the frame that failed"
    try:
        int(f"http://host{PRESIGNED}{len(local)}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("aiohttp").error("GET %s", PRESIGNED)
    text = stderr.getvalue()
    assert "ValueError" in text
    assert not [secret for secret in ("0123456789abcdef", "TOKEN123", "AKID", local) if secret in text]


def test_redaction_leaves_other_text_alone() -> None:
    assert redact_text("GET /photos/design=1/a.jpg?prefix=x") == "GET /photos/design=1/a.jpg?prefix=x"


# --- access log ----------------------------------------------------------------------------------------------------


@dataclass
class Request:
    path: str = "/photos/a%20b.jpg"
    query: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"host": "node:9000", "user-agent": "aws-cli/2"})
    method: str = "GET"
    id: str = "0123456789ABCDEF"
    peer: str = "192.0.2.7"
    tls: bool = False
    version: str = "1.1"


USAGE = Usage("s3", "GetObject", "r", "photos", "AK", status=200, sent=1024, seconds=0.0123, first_byte_seconds=0.004)


async def written(path: Path, form: str, request: Request, usage: Usage = USAGE, error_code: str = "") -> str:
    log = AccessLogFile(settings.AccessLog.model_validate({"format": form, "path": path}), lambda lines: None)
    log.write(request, usage, error_code)
    await log.flush()
    await log.close()
    return path.read_text()  # noqa: ASYNC240 - a test may wait for its own file


async def test_a_json_line_tells_what_moved(tmp_path: Path) -> None:
    line = json.loads(await written(tmp_path / "log", "json", Request(), error_code="NoSuchKey"))
    expected = {"request_id": "0123456789ABCDEF", "operation": "GetObject", "sent": 1024, "error": "NoSuchKey"}
    assert line.items() >= expected.items()


async def test_an_aws_line_has_the_fields_of_amazons_server_access_log(tmp_path: Path) -> None:
    line = await written(tmp_path / "log", "aws", Request())
    # One group per field of the documented format, as Amazon's own Athena table reads it.
    fields = re.findall(r'\[[^]]*\]|"[^"]*"|\S+', line)
    assert len(fields) == 26
    assert fields[1] == "photos"
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", fields[2])
    assert fields[3:8] == ["192.0.2.7", "AK", "0123456789ABCDEF", "REST.GET.OBJECT", "a%20b.jpg"]
    assert fields[8:14] == ['"GET /photos/a%20b.jpg HTTP/1.1"', "200", "-", "1024", "-", "12"]


async def test_a_combined_line_is_what_web_servers_write(tmp_path: Path) -> None:
    line = await written(tmp_path / "log", "combined", Request())
    assert re.fullmatch(
        r'192\.0\.2\.7 - AK \[[^]]+\] "GET /photos/a%20b\.jpg HTTP/1\.1" 200 1024 "-" "aws-cli/2"\n', line
    )


@pytest.mark.parametrize("form", ["json", "aws", "combined"])
async def test_an_access_line_is_redacted_and_cannot_be_broken_out_of(tmp_path: Path, form: str) -> None:
    path, _, query = PRESIGNED.partition("?")
    agent = 'x" 200\nfake line \\'
    headers = {"authorization": AUTHORIZATION, "user-agent": agent, "referer": f"http://host{PRESIGNED}"}
    text = await written(tmp_path / "log", form, Request(path, query, headers))
    assert text.count("\n") == 1
    assert 'x" 200' not in text.replace('\\"', "")
    assert not [secret for secret in ("0123456789abcdef", "TOKEN123", "AKID") if secret in text]


async def test_the_file_is_reopened_after_it_was_moved_away(tmp_path: Path) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLogFile(settings.AccessLog(path=path), lambda lines: None)
    log.write(Request(id="A" * 16), USAGE)
    await log.flush()
    path.rename(moved)
    log.write(Request(id="B" * 16), USAGE)
    await log.reopen()
    log.write(Request(id="C" * 16), USAGE)
    await log.close()
    assert [json.loads(line)["request_id"][0] for line in moved.read_text().splitlines()] == ["A", "B"]
    assert [json.loads(line)["request_id"][0] for line in path.read_text().splitlines()] == ["C"]


async def test_lines_beyond_the_buffer_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_BUFFERED", 1000)
    dropped: list[int] = []
    log = AccessLogFile(settings.AccessLog(path=tmp_path / "log"), dropped.append)
    for _ in range(10):
        log.write(Request(), USAGE)
    await log.close()
    assert len((tmp_path / "log").read_text().splitlines()) + sum(dropped) == 10
    assert sum(dropped) > 0


async def test_several_writers_share_a_pipe_without_mixing_lines(tmp_path: Path) -> None:
    read, write = os.pipe()
    logs = [AccessLogFile(settings.AccessLog(path=Path(f"/dev/fd/{write}")), lambda lines: None) for _ in range(2)]
    os.close(write)
    for log in logs:
        for _ in range(100):
            log.write(Request(), USAGE)

    def read_all() -> bytes:
        with os.fdopen(read, "rb") as stream:
            return stream.read()

    reading = asyncio.create_task(asyncio.to_thread(read_all), name="reader")
    await asyncio.gather(*(log.flush() for log in logs))
    for log in logs:
        await log.close()
    assert len([json.loads(line) for line in (await reading).splitlines()]) == 200
