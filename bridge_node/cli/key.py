"""`bridge-node key`: credentials for a repository's clients."""

import json
from typing import Annotated, Literal

import typer

from bridge_node.cli.options import AsJson
from bridge_node.crypto.credentials import new_pair

app = typer.Typer(no_args_is_help=True, help="Make credentials for clients.")


@app.command()
def generate(
    as_json: AsJson = False,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print a piece of configuration to paste.")] = False,
    repository: Annotated[str, typer.Option(metavar="NAME", help="The repository that --toml names.")] = "NAME",
    access: Annotated[Literal["READ", "WRITE", "ADMIN"], typer.Option(help="The access that --toml gives.")] = "READ",
) -> None:
    """Print a new access key id and its secret.

    Nothing is stored: put both into the configuration (--toml shows how), or the secret into a file of its own
    that only the node can read.
    """
    access_key, secret_key = new_pair()
    if as_json:
        typer.echo(json.dumps({"access_key": access_key, "secret_key": secret_key}, indent=2))
    elif as_toml:
        typer.echo(f"[[repositories.{_toml_key(repository)}.keys]]")
        typer.echo(f'access_key = "{access_key}"\nsecret_key = "{secret_key}"\naccess = "{access}"')
    else:
        typer.echo(f"Access key id:      {access_key}\nSecret access key:  {secret_key}")


def _toml_key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else json.dumps(name, ensure_ascii=False)
