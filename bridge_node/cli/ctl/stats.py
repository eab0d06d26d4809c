"""`bridge-node ctl stats`: what moved, and how well nodes reach buckets."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.client import Client
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="What moved, and how well nodes reach buckets.")

Repo = Annotated[str, typer.Option("--repo", metavar="NAME", help="Only of this repository, by name or id.")]
Bucket = Annotated[str, typer.Option("--bucket", metavar="NAME", help="Only of this bucket, by name or id.")]
Start = Annotated[str, typer.Option("--from", metavar="DATE", help="ISO 8601 date or date-time, UTC.")]
End = Annotated[str, typer.Option("--to", metavar="DATE", help="ISO 8601 date or date-time; a date is all of it.")]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(text: str) -> str:
    """A number of bytes for people: `1.5 GiB`."""
    value, unit = float(text), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@app.command()
def buckets(ctx: typer.Context, bucket: Bucket = "", as_json: AsJson = False) -> None:
    """Totals of each bucket."""
    with connected(ctx) as client:
        there = client.get("/bucket")["buckets"]
        wanted = finding.one("bucket", bucket, there)["id"] if bucket else None
        found = client.get("/bucket/stats", bucketId=wanted)["stats"]
    _totals(found, {"bucket": _named(there, "bucketId"), "requests": "totalCount"}, as_json=as_json)


@app.command()
def repos(ctx: typer.Context, repo: Repo = "", as_json: AsJson = False) -> None:
    """Totals of each repository."""
    with connected(ctx) as client:
        there = client.get("/repo")["repos"]
        wanted = finding.one("repository", repo, there)["id"] if repo else None
        found = client.get("/repo/stats", repoId=wanted)["stats"]
    _totals(found, {"repository": _named(there, "repoId")}, as_json=as_json)


@app.command()
def minutes(
    ctx: typer.Context,
    repo: Repo = "",
    bucket: Bucket = "",
    start: Start = "",
    end: End = "",
    as_json: AsJson = False,
) -> None:
    """What moved in each minute, by repository, bucket and host; of the last day unless told."""
    _moved(ctx, "/stats/minute", repo, bucket, start, end, as_json=as_json)


@app.command()
def days(
    ctx: typer.Context,
    repo: Repo = "",
    bucket: Bucket = "",
    start: Start = "",
    end: End = "",
    as_json: AsJson = False,
) -> None:
    """What moved on each day, by repository, bucket and host; of the last thirty unless told."""
    _moved(ctx, "/stats/daily", repo, bucket, start, end, as_json=as_json)


@app.command()
def nodes(ctx: typer.Context, bucket: Bucket = "", as_json: AsJson = False) -> None:
    """What each node last said about each bucket."""
    with connected(ctx) as client:
        buckets, names = client.get("/bucket")["buckets"], {one["id"]: one["ip"] for one in client.get("/node")["data"]}
        wanted = finding.one("bucket", bucket, buckets)["id"] if bucket else None
        found = client.get("/stats/nodes/minute", bucketId=wanted)["data"]
    columns: output.Columns = {
        "node": lambda one: names.get(one["nodeId"], one["nodeId"]),
        "bucket": _named(buckets, "bucketId"),
        "status": "nodeStatus",
        "latency": lambda one: f"{one['latency_ms']:g} ms",
        "reported": "lastUpdated",
    }
    output.items(found, columns, as_json=as_json)


def _moved(ctx: typer.Context, path: str, repo: str, bucket: str, start: str, end: str, *, as_json: bool) -> None:
    with connected(ctx) as client:
        repositories, buckets = client.get("/repo")["repos"], client.get("/bucket")["buckets"]
        found = _asked(client, path, repositories, buckets, repo, bucket, start, end)
    columns: output.Columns = {
        "from": lambda one: _moment(one["timestamp"]),
        "repository": _named(repositories, "repoId"),
        "bucket": _named(buckets, "bucketId"),
        "host": "host",
        "uploaded": lambda one: size(one["upl_bytes"]),
        "downloaded": lambda one: size(one["dwl_bytes"]),
        "stored": lambda one: size(one["size_change"]),
        "latency": lambda one: f"{one['latency_ms']:g} ms",
    }
    output.items(found, columns, as_json=as_json)


def _asked(
    client: Client,
    path: str,
    repositories: list[Any],
    buckets: list[Any],
    repo: str,
    bucket: str,
    start: str,
    end: str,
) -> list[Any]:
    repo_id = finding.one("repository", repo, repositories)["id"] if repo else None
    bucket_id = finding.one("bucket", bucket, buckets)["id"] if bucket else None
    data: list[Any] = client.get(path, repoId=repo_id, bucketId=bucket_id, startDate=start, endDate=end)["data"]
    return data


def _totals(found: list[Any], names: output.Columns, *, as_json: bool) -> None:
    columns: output.Columns = {
        **names,
        "uploaded": lambda one: size(one["totalUploadBytes"]),
        "downloaded": lambda one: size(one["totalDownloadBytes"]),
        "stored": lambda one: size(one["totalSizeChange"]),
    }
    output.items(found, columns, as_json=as_json)


def _named(there: list[Any], field: str) -> Any:
    """A column with the name of what `field` is the id of, or the id of what is not there any more."""
    names = {one["id"]: one["name"] for one in there}
    return lambda one: names.get(one[field], one[field])
