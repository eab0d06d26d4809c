"""`bridge-node ctl login` and `logout`: keeping a token, and forgetting it."""

from pathlib import Path
from typing import Annotated

import typer

from bridge_node.cli.ctl import output, profiles, secrets
from bridge_node.cli.ctl.client import Client
from bridge_node.cli.ctl.profiles import DEFAULT, Profile
from bridge_node.cli.ctl.session import TOKEN_VARIABLE, complaints, session_of
from bridge_node.cli.options import AsJson


def login(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Where the platform answers: https://host[:port].")],
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help=f"Has the Bearer token; `-` is standard input. Without it: {TOKEN_VARIABLE}, else you are asked.",
        ),
    ] = None,
    organisation: Annotated[
        str, typer.Option("--organisation", metavar="ID", help="For tokens that do not name theirs.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Try a token, and keep it with the platform's URL in a profile of mode 0600, which is the current one then.

    `bridge-node platform token` makes a token on the platform's host; others come from your own issuer.
    """
    session = session_of(ctx)
    token = secrets.needed("The token", token_file, TOKEN_VARIABLE)
    with complaints():
        kept = profiles.read(session.path)
        name = session.profile_name or DEFAULT
        ca_file = str(session.ca_file.absolute()) if session.ca_file else ""
        made = Profile(url.rstrip("/"), token, ca_file, organisation, session.plain_http)
        workspaces = Client(session.server(made), token).get("/workspace")["workspaces"]
        profiles.write(session.path, kept.with_(name, made))
    names = ", ".join(output.printable(one["name"]) for one in workspaces) or "none"
    answer = {"profile": name, "url": made.url, "workspaces": [one["id"] for one in workspaces]}
    output.done(answer, f"Logged in at {made.url} as profile {name}. Workspaces: {names}", as_json=as_json)


def logout(ctx: typer.Context) -> None:
    """Forget the token of the current profile, or of --profile. It stays valid as long as it says."""
    session = session_of(ctx)
    with complaints():
        kept = profiles.read(session.path)
        name = session.profile_name or kept.current
        profiles.write(session.path, kept.without(name))
    typer.echo(f"Profile {name} is forgotten.")
