"""`bridge-node ctl`: an organisation's buckets, repositories, keys and nodes, over a platform's HTTP API.

One file for each resource, of the same shape: how it is shown, then list, show, create, update, delete. What they
share: `session.py` (whom to ask, and how commands end), `client.py` (HTTP), `finding.py` (names for ids), `output.py`
(tables and JSON), `secrets.py` (where secrets come from), `profiles.py` and `login.py` (who asks).
"""

from pathlib import Path
from typing import Annotated

import typer

from bridge_node.cli.ctl import (
    apikeys,
    buckets,
    events,
    keys,
    login,
    nodes,
    orgkeys,
    profile,
    quotas,
    repositories,
    stats,
    workspaces,
)
from bridge_node.cli.ctl.applying import apply
from bridge_node.cli.ctl.session import Session
from bridge_node.cli.outcomes import EXIT_CODES

app = typer.Typer(
    no_args_is_help=True,
    help="Administrate an organisation over a platform's HTTP API: `bridge-node ctl login URL` first.",
    epilog=EXIT_CODES,
)
app.command()(login.login)
app.command()(login.logout)
app.add_typer(profile.app, name="profile")
app.add_typer(workspaces.app, name="workspace")
app.add_typer(buckets.app, name="bucket")
app.add_typer(repositories.app, name="repo")
app.add_typer(keys.app, name="key")
app.add_typer(apikeys.app, name="apikey")
app.add_typer(orgkeys.app, name="orgkey")
app.add_typer(nodes.app, name="node")
app.add_typer(stats.app, name="stats")
app.add_typer(events.app, name="event")
app.command("quota")(quotas.quota)
app.command()(apply)


@app.callback()
def options(
    ctx: typer.Context,
    profile_name: Annotated[
        str, typer.Option("--profile", envvar="BRIDGE_NODE_CTL_PROFILE", metavar="NAME", help="Instead of the current.")
    ] = "",
    profiles: Annotated[
        Path | None,
        typer.Option(
            "--profiles",
            envvar="BRIDGE_NODE_CTL_PROFILES",
            metavar="FILE",
            help="Where profiles are kept; by default ctl.json of the user's configuration directory.",
        ),
    ] = None,
    url: Annotated[
        str, typer.Option("--url", envvar="BRIDGE_NODE_CTL_URL", help="The platform, instead of the profile's.")
    ] = "",
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", envvar="BRIDGE_NODE_CTL_CA_FILE", metavar="FILE", help="Certificates (PEM) to trust instead."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Longest time to wait for an answer.")
    ] = 30.0,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Send the token without TLS to other hosts than this one.")
    ] = False,
) -> None:
    """Whom to ask. In scripts, BRIDGE_NODE_CTL_URL and BRIDGE_NODE_CTL_TOKEN are enough: no profile is needed then."""
    ctx.obj = Session(profile_name, profiles, url, ca_file, timeout, plain_http)
