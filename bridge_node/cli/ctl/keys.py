"""`bridge-node ctl key`: the access keys of a repository."""

from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.client import Client, place
from bridge_node.cli.ctl.options import Access, Level, NameArgument, NewName
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.repositories import Repository
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson
from bridge_node.cli.outcomes import Exit, complain

app = typer.Typer(no_args_is_help=True, help="Access keys of repositories: what applications use.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="Name or id.")]
Buckets = Annotated[
    list[str] | None,
    typer.Option("--bucket", "-b", metavar="NAME", help="The only buckets that it opens; again. None: all of them."),
]

_COLUMNS: output.Columns = {
    "name": "name",
    "id": "id",
    "access": "accessType",
    "access key id": "key",
    "buckets": lambda one: ", ".join(one.get("buckets", ())),
    "created": "createdAt",
    "last used": "lastUsedAt",
}


@app.command("list")
def list_keys(ctx: typer.Context, repo: Repository, as_json: AsJson = False) -> None:
    """List the access keys of a repository, without their secrets."""
    with connected(ctx) as client:
        found = client.get(_place(finding.repository(client, repo)))["keys"]
    output.items(found, _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, repo: Repository, key: Key, as_json: AsJson = False) -> None:
    """Show an access key, without its secret."""
    with connected(ctx) as client:
        found = finding.one("access key", key, client.get(_place(finding.repository(client, repo)))["keys"])
    output.item(found, _COLUMNS, as_json=as_json)


@app.command()
def create(
    ctx: typer.Context,
    repo: Repository,
    name: NameArgument,
    access: Access = Level.READ,
    buckets: Buckets = None,
    as_json: AsJson = False,
) -> None:
    """Make an access key. Its secret is shown this one time."""
    with connected(ctx) as client:
        found = finding.repository(client, repo)
        limits = _limits(found, buckets)
        answer = client.post(_place(found), {"name": name, "accessType": access, **limits})
    text = f"Access key {name} of {repo}: {access}. Its secret is shown this one time:\n"
    output.done(answer, f"{text}\nkey     {answer['key']}\nsecret  {answer['secret']}", as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    repo: Repository,
    key: Key,
    name: NewName = None,
    access: Annotated[Level | None, typer.Option("--access", case_sensitive=False)] = None,
    buckets: Buckets = None,
    all_buckets: Annotated[bool, typer.Option("--all-buckets", help="Take its limits away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change what is given. Nodes follow within two seconds."""
    if all_buckets and buckets:
        raise complain("--bucket and --all-buckets contradict each other", Exit.CONFIGURATION)
    with connected(ctx) as client:
        found = finding.repository(client, repo)
        limits: dict[str, Any] = {"buckets": None} if all_buckets else _limits(found, buckets)
        told = {field: value for field, value in (("name", name), ("accessType", access)) if value is not None}
        answer = client.put(_path(client, found, key), {**told, **limits})
    output.done(answer, f"Access key {key} of {repo} is changed.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, repo: Repository, key: Key, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete an access key: it opens nothing from then on."""
    with connected(ctx) as client:
        path = _path(client, finding.repository(client, repo), key)
        output.confirm(f"Delete access key {key} of {repo}?", yes=yes)
        answer = client.delete(path)
    output.done(answer, f"Access key {key} of {repo} is deleted.", as_json=as_json)


def _place(repository: finding.Item) -> str:
    return place("repo", repository["id"], "apikey")


def _path(client: Client, repository: finding.Item, key: str) -> str:
    path = _place(repository)
    return path + place(finding.one("access key", key, client.get(path)["keys"])["id"])


def _limits(repository: finding.Item, buckets: list[str] | None) -> dict[str, Any]:
    if not buckets:
        return {}
    there = [one["bucket"] for one in repository["buckets"] if "bucket" in one]
    return {"buckets": [finding.one("bucket of this repository", name, there)["id"] for name in buckets]}
