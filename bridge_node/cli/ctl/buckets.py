"""`bridge-node ctl bucket`: buckets and containers at the providers."""

from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output, secrets
from bridge_node.cli.ctl.client import Client, place
from bridge_node.cli.ctl.options import (
    AccessKey,
    Endpoint,
    InWorkspace,
    NameArgument,
    NewName,
    OfWorkspace,
    Region,
    StorageType,
)
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.secrets import SECRET_VARIABLE, SecretFile
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Buckets and containers at the providers.")

Bucket = Annotated[str, typer.Argument(help="Name or id.")]
ProviderKey = Annotated[
    str | None,
    typer.Option("--apikey", metavar="NAME", help="Description or id of an API key, instead of credentials."),
]
ProjectId = Annotated[str | None, typer.Option("--project", metavar="ID", help="Project of a GCS bucket.")]

_COLUMNS: output.Columns = {
    "name": "name",
    "id": "id",
    "type": "storageType",
    "bucket": "bucket",
    "region": "region",
    "status": "status",
    "repositories": lambda one: ", ".join(repo["name"] for repo in one.get("repos", ())),
}
_DETAILS: output.Columns = {
    **_COLUMNS,
    "endpoint": "endpoint",
    "key": "key",
    "API key": "apiKeyId",
    "project": "projectId",
    "workspace": "workspaceId",
    "created": "createdAt",
}
_NODES: output.Columns = {
    "node": "ip",
    "region": "region",
    "version": "version",
    "status": "status",
    "latency": lambda one: f"{one['latency_ms']:g} ms",
    "reported": "lastUpdated",
}


@app.command("list")
def list_buckets(ctx: typer.Context, workspace: OfWorkspace = "", as_json: AsJson = False) -> None:
    """List buckets: where they are, how nodes reach them, what uses them."""
    with connected(ctx) as client:
        found = client.get("/bucket", workspaceId=finding.maybe_workspace(client, workspace))["buckets"]
    output.items(found, _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, bucket: Bucket, as_json: AsJson = False) -> None:
    """Show a bucket, and what each node last said about it."""
    with connected(ctx) as client:
        found = finding.bucket(client, bucket)
        nodes = client.get(place("bucket", found["id"], "status"))["nodeStatus"]
    output.item({**found, "nodeStatus": nodes}, _DETAILS, as_json=as_json)
    if not as_json and nodes:
        output.items(nodes, _NODES, as_json=False)


@app.command()
def create(
    ctx: typer.Context,
    name: NameArgument,
    bucket: Annotated[str, typer.Option("--bucket", help="Its real name at the provider.")],
    storage_type: Annotated[StorageType, typer.Option("--type", case_sensitive=False)] = StorageType.S3,
    workspace: InWorkspace = "",
    key: AccessKey = None,
    secret_file: SecretFile = None,
    apikey: ProviderKey = None,
    endpoint: Endpoint = None,
    region: Region = None,
    project: ProjectId = None,
    as_json: AsJson = False,
) -> None:
    """Declare a bucket that is there. The platform tries it before it is stored."""
    own = apikey is None and storage_type is not StorageType.LOCAL
    secret = secrets.needed("The bucket's secret", secret_file, SECRET_VARIABLE) if own else None
    with connected(ctx) as client:
        body = {
            "name": name,
            "bucket": bucket,
            "storageType": storage_type,
            "workspaceId": finding.workspace(client, workspace),
            **_said(client, key, secret, apikey, endpoint, region, project),
        }
        answer = client.post("/bucket", body)
    output.done(answer, f"Bucket {name} is {answer['bucketId']}.", as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    which: Bucket,
    name: NewName = None,
    bucket: Annotated[str | None, typer.Option("--bucket", help="Its real name at the provider.")] = None,
    key: AccessKey = None,
    secret_file: SecretFile = None,
    apikey: ProviderKey = None,
    endpoint: Endpoint = None,
    region: Region = None,
    project: ProjectId = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given. A new secret comes by --secret-file or BRIDGE_NODE_CTL_SECRET."""
    secret = secrets.given(secret_file, SECRET_VARIABLE)
    with connected(ctx) as client:
        said = _said(client, key, secret, apikey, endpoint, region, project)
        labels = {field: value for field, value in (("name", name), ("bucket", bucket)) if value is not None}
        answer = client.put(place("bucket", finding.bucket(client, which)["id"]), {**labels, **said})
    output.done(answer, f"Bucket {which} is changed.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, bucket: Bucket, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a bucket out of the platform; what is in it stays where it is."""
    with connected(ctx) as client:
        found = finding.bucket(client, bucket)
        output.confirm(f"Delete bucket {bucket}?", yes=yes)
        answer = client.delete(place("bucket", found["id"]))
    output.done(answer, f"Bucket {bucket} is deleted.", as_json=as_json)


@app.command()
def validate(ctx: typer.Context, bucket: Bucket, as_json: AsJson = False) -> None:
    """Have nodes, else the platform, reach a bucket now."""
    with connected(ctx) as client:
        answer = client.post(place("bucket", finding.bucket(client, bucket)["id"], "validate"))
    latency = answer.get("latency_ms")
    took = f" in {latency:g} ms" if latency is not None else ""
    output.done(answer, f"{bucket}: {output.printable(answer['message'])}{took}", as_json=as_json)


def _said(
    client: Client,
    key: str | None,
    secret: str | None,
    apikey: str | None,
    endpoint: str | None,
    region: str | None,
    project: str | None,
) -> dict[str, Any]:
    """What reaches it, as far as it was given."""
    told = {"key": key, "secret": secret, "endpoint": endpoint, "region": region, "projectId": project}
    said = {name: value for name, value in told.items() if value is not None}
    return {**said, "apiKeyUuid": finding.provider_key(client, apikey)["id"]} if apikey else said
