"""`bridge-node ctl workspace`: workspaces and who works there."""

from typing import Annotated, Any

import typer

from bridge_node.cli.ctl import finding, output
from bridge_node.cli.ctl.client import Client, place
from bridge_node.cli.ctl.options import Access, Level, NameArgument
from bridge_node.cli.ctl.output import Yes
from bridge_node.cli.ctl.session import connected
from bridge_node.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Workspaces and their members.")

Workspace = Annotated[str, typer.Argument(help="Name or id.")]
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]

_COLUMNS: output.Columns = {"name": "name", "id": "id", "members": lambda one: len(one["users"])}
_MEMBERS: output.Columns = {
    "member": lambda one: one["user"]["name"],
    "e-mail": lambda one: one["user"]["email"],
    "id": "userId",
    "access": "role",
}


@app.command("list")
def list_workspaces(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the workspaces that you may see."""
    with connected(ctx) as client:
        output.items(client.get("/workspace")["workspaces"], _COLUMNS, as_json=as_json)


@app.command()
def show(ctx: typer.Context, workspace: Workspace, as_json: AsJson = False) -> None:
    """Show a workspace and its members."""
    with connected(ctx) as client:
        found = client.get(place("workspace", finding.workspace(client, workspace)))["workspace"]
    output.item(found, _COLUMNS, as_json=as_json)
    if not as_json and found["users"]:
        output.items(found["users"], _MEMBERS, as_json=False)


@app.command()
def create(ctx: typer.Context, name: NameArgument, as_json: AsJson = False) -> None:
    """Make a workspace."""
    with connected(ctx) as client:
        made = client.post("/workspace", {"name": name})["workspace"]
    output.done(made, f"Workspace {name} is {made['id']}.", as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    workspace: Workspace,
    name: Annotated[str, typer.Option("--name", help="Its new name.")],
    as_json: AsJson = False,
) -> None:
    """Rename a workspace."""
    with connected(ctx) as client:
        made = client.put(place("workspace", finding.workspace(client, workspace)), {"name": name})["workspace"]
    output.done(made, f"Workspace {workspace} is called {name}.", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, workspace: Workspace, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a workspace that has neither buckets nor repositories nor API keys."""
    with connected(ctx) as client:
        workspace_id = finding.workspace(client, workspace)
        output.confirm(f"Delete workspace {workspace}?", yes=yes)
        answer = client.delete(place("workspace", workspace_id))
    output.done(answer, f"Workspace {workspace} is deleted.", as_json=as_json)


# members


@app.command("add-member")
def add_member(
    ctx: typer.Context, workspace: Workspace, user: UserId, access: Access = Level.READ, as_json: AsJson = False
) -> None:
    """Let a user of the organisation into a workspace."""
    with connected(ctx) as client:
        answer = client.post(_members(client, workspace), {"userId": user, "role": access})
    output.done(answer, f"{user} has {access} access to {workspace}.", as_json=as_json)


@app.command("update-member")
def update_member(
    ctx: typer.Context, workspace: Workspace, user: UserId, access: Access = Level.READ, as_json: AsJson = False
) -> None:
    """Give a member another access."""
    with connected(ctx) as client:
        answer = client.put(_members(client, workspace) + place(user), {"role": access})
    output.done(answer, f"{user} has {access} access to {workspace}.", as_json=as_json)


@app.command("remove-member")
def remove_member(ctx: typer.Context, workspace: Workspace, user: UserId, as_json: AsJson = False) -> None:
    """Take a member out of a workspace."""
    with connected(ctx) as client:
        answer: dict[str, Any] = client.delete(_members(client, workspace) + place(user))
    output.done(answer, f"{user} is no member of {workspace} any more.", as_json=as_json)


def _members(client: Client, workspace: str) -> str:
    return place("workspace", finding.workspace(client, workspace), "users")
