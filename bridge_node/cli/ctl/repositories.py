"""`bridge-node ctl repo`: what applications address."""

from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.client import Client, Refused, place
from bridge_node.cli.ctl.options import InWorkspace, Mode, NameArgument, NewName, OfWorkspace, Spoken
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson
from bridge_node.cli.outcomes import Exit

app = typer.Typer(no_args_is_help=True, help="Repositories: what applications address.")

Repository = Annotated[str, typer.Argument(metavar="REPO", help="Name or id.")]
Buckets = Annotated[
    list[str] | None,
    typer.Option("--bucket", "-b", metavar="NAME[=FOLDER]", help="A bucket, with a second name if it has one; again."),
]
Master = Annotated[
    str, typer.Option("--master", metavar="NAME", help="The bucket of a MIRROR that the others are copies of.")
]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="APIKEY", help="Every bucket of an API key's account; again.")
]
Disabled = Annotated[bool | None, typer.Option("--disable/--enable", help="Whether nodes only let it be read.")]


def _targets(repository: dict[str, Any]) -> str:
    return ", ".join(
        f"account {one['apiKeyUuid']}" if one.get("account") else one["bucket"]["name"] for one in repository["buckets"]
    )


_COLUMNS: output.Columns = {
    "name": "name",
    "id": "id",
    "speaks": "storageType",
    "mode": "mode",
    "buckets": _targets,
    "keys": lambda one: len(one["apiKeys"]),
    "disabled": "disabled",
}
_DETAILS: output.Columns = {**_COLUMNS, "workspace": "workspaceId", "created": "createdAt"}


@app.command("list")
def list_repositories(ctx: typer.Context, workspace: OfWorkspace = "", as_json: AsJson = False) -> None:
    """List repositories, with what they are made of."""
    with connected(ctx) as client:
        found = client.get("/repo", workspaceId=finding.maybe_workspace(client, workspace))["repos"]
    output.items(found, _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, repo: Repository, as_json: AsJson = False) -> None:
    """Show a repository. Its access keys: `bridge-node ctl key list REPO`."""
    with connected(ctx) as client:
        output.item(finding.repository(client, repo), _DETAILS, as_json=as_json)


@app.command()
def create(
    ctx: typer.Context,
    name: NameArgument,
    speaks: Annotated[Spoken, typer.Option("--type", case_sensitive=False, help="What clients speak.")] = Spoken.S3,
    mode: Annotated[Mode, typer.Option("--mode", case_sensitive=False)] = Mode.NORMAL,
    workspace: InWorkspace = "",
    buckets: Buckets = None,
    master: Master = "",
    accounts: Accounts = None,
    as_json: AsJson = False,
) -> None:
    """Make a repository of buckets and whole accounts."""
    with connected(ctx) as client:
        body = {
            "name": name,
            "storageType": speaks,
            "mode": mode,
            "workspaceId": finding.workspace(client, workspace),
            "repoBuckets": _parts(client, buckets, master, accounts) or [],
        }
        answer = client.post("/repo", body)
    output.done(answer, f"Repository {name} is {answer['repoId']}.", as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    repo: Repository,
    name: NewName = None,
    mode: Annotated[Mode | None, typer.Option("--mode", case_sensitive=False)] = None,
    buckets: Buckets = None,
    master: Master = "",
    accounts: Accounts = None,
    disabled: Disabled = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given. Buckets and accounts that are named are then all that the repository is made of."""
    with connected(ctx) as client:
        found = finding.repository(client, repo)
        parts = _parts(client, buckets, master, accounts)
        told = {"name": name, "mode": mode, "disabled": disabled, "repoBuckets": parts}
        body = {field: value for field, value in told.items() if value is not None}
        answer = client.put(place("repo", found["id"]), body)
    output.done(answer, f"Repository {repo} is changed.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, repo: Repository, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a repository. Its access keys open nothing from then on; its buckets stay as they are."""
    with connected(ctx) as client:
        found = finding.repository(client, repo)
        output.confirm(f"Delete repository {repo}, and its {len(found['apiKeys'])} access keys?", yes=yes)
        answer = client.delete(place("repo", found["id"]))
    output.done(answer, f"Repository {repo} is deleted.", as_json=as_json)


@app.command()
def validate(
    ctx: typer.Context,
    repo: Annotated[str, typer.Argument(metavar="[REPO]", help="Name or id; none: one that is not there yet.")] = "",
    mode: Annotated[Mode, typer.Option("--mode", case_sensitive=False)] = Mode.NORMAL,
    buckets: Buckets = None,
    master: Master = "",
    accounts: Accounts = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether a repository may be made of these buckets, or become so. Changes nothing; code 4 is no."""
    with connected(ctx) as client:
        path = place("repo", finding.repository(client, repo)["id"], "validate") if repo else "/repo/validate"
        parts = _parts(client, buckets, master, accounts)
        answer = client.post(path, {"mode": mode, **({} if parts is None else {"repoBuckets": parts})})
        if not answer["success"] and not as_json:
            raise Refused(400, output.printable(answer["message"]))
    output.done(answer, "It may be made so.", as_json=as_json)
    raise typer.Exit(Exit.OK if answer["success"] else Exit.REFUSED)


def _parts(
    client: Client, buckets: list[str] | None, master: str, accounts: list[str] | None
) -> list[dict[str, Any]] | None:
    """As the API has them; None when nothing was named."""
    named = [one.partition("=") for one in buckets or ()]
    if master and master not in {name for name, _, _ in named}:
        named.insert(0, (master, "", ""))
    if not named and not accounts:
        return None
    there = client.get("/bucket")["buckets"] if named else []
    parts = [
        {
            "bucketId": finding.one("bucket", name, there)["id"],
            "master": name == master,
            **({"folder": folder} if folder else {}),
        }
        for name, _, folder in named
    ]
    keys = [finding.provider_key(client, one)["id"] for one in accounts or ()]
    return [*parts, *({"apiKeyUuid": key, "account": True} for key in keys)]
