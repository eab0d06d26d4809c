"""`bridge-node ctl apikey`: credentials of accounts at providers, which buckets share."""

from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output, secrets
from bridge_node.cli.ctl.client import place
from bridge_node.cli.ctl.options import AccessKey, Endpoint, InWorkspace, OfWorkspace, Region
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.secrets import SECRET_VARIABLE, SecretFile
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Providers' API keys, which buckets share.")

ApiKey = Annotated[str, typer.Argument(metavar="APIKEY", help="Description or id.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="ID", help="Directory of an Azure account.")]
Subscription = Annotated[str | None, typer.Option("--subscription", metavar="ID", help="Of an Azure account.")]
Description = Annotated[str | None, typer.Option("--description", help="A new one.")]

_COLUMNS: output.Columns = {
    "description": "description",
    "id": "id",
    "provider": "provider",
    "key": "key",
    "region": "region",
    "endpoint": "endpoint",
    "buckets": "bucket_count",
}
_DETAILS: output.Columns = {
    **_COLUMNS,
    "tenant": "tenantId",
    "subscription": "subscriptionId",
    "created": "createdAt",
}


@app.command("list")
def list_keys(ctx: typer.Context, workspace: OfWorkspace = "", as_json: AsJson = False) -> None:
    """List API keys, without their secrets."""
    with connected(ctx) as client:
        found = client.get("/apikeys", workspaceId=finding.maybe_workspace(client, workspace))["apiKeys"]
    output.items(found, _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, apikey: ApiKey, as_json: AsJson = False) -> None:
    """Show an API key, without its secret."""
    with connected(ctx) as client:
        output.item(finding.provider_key(client, apikey), _DETAILS, as_json=as_json)


@app.command()
def create(
    ctx: typer.Context,
    description: Annotated[str, typer.Argument(help="How people call it.")],
    provider: Annotated[str, typer.Option("--provider", help="AWS, GCP, AZURE, LOCAL; OTHER is what speaks S3.")],
    workspace: InWorkspace = "",
    key: AccessKey = None,
    secret_file: SecretFile = None,
    endpoint: Endpoint = None,
    region: Region = None,
    tenant: Tenant = None,
    subscription: Subscription = None,
    as_json: AsJson = False,
) -> None:
    """Keep the credentials of an account."""
    local = provider.upper() == "LOCAL"
    secret = None if local else secrets.needed("The key's secret", secret_file, SECRET_VARIABLE)
    said = _said(key, secret, endpoint, region, tenant, subscription)
    with connected(ctx) as client:
        body = {"description": description, "provider": provider, "workspaceId": finding.workspace(client, workspace)}
        answer = client.post("/apikeys", {**body, **said})
    output.done(answer, f"API key {description} is {answer['apiKeyId']}.", as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    apikey: ApiKey,
    description: Description = None,
    key: AccessKey = None,
    secret_file: SecretFile = None,
    endpoint: Endpoint = None,
    region: Region = None,
    tenant: Tenant = None,
    subscription: Subscription = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given, for every bucket at once. A new secret: --secret-file or BRIDGE_NODE_CTL_SECRET."""
    said = _said(key, secrets.given(secret_file, SECRET_VARIABLE), endpoint, region, tenant, subscription)
    labels = {} if description is None else {"description": description}
    with connected(ctx) as client:
        answer = client.put(place("apikeys", finding.provider_key(client, apikey)["id"]), {**labels, **said})
    output.done(answer, f"API key {apikey} is changed.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, apikey: ApiKey, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete an API key for good. No bucket may be reached by it."""
    with connected(ctx) as client:
        found = finding.provider_key(client, apikey)
        output.confirm(f"Delete API key {apikey}?", yes=yes)
        answer = client.delete(place("apikeys", found["id"]))
    output.done(answer, f"API key {apikey} is deleted.", as_json=as_json)


def _said(
    key: str | None,
    secret: str | None,
    endpoint: str | None,
    region: str | None,
    tenant: str | None,
    subscription: str | None,
) -> dict[str, Any]:
    told = {"key": key, "secret": secret, "endpoint": endpoint, "region": region}
    told |= {"tenantId": tenant, "subscriptionId": subscription}
    return {name: value for name, value in told.items() if value is not None}
