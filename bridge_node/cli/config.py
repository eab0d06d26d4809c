"""`bridge-node config`: what is in force and why, and what there is to set."""

import json
from typing import Annotated, Literal

import typer

from bridge_node.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from bridge_node.cli.outcomes import load_or_exit

app = typer.Typer(no_args_is_help=True, help="Show the configuration in force, or everything that can be set.")

LONGEST_ALIGNED = 60


@app.command()
def show(
    config: ConfigFile = DEFAULT_CONFIG,
    effective: Annotated[bool, typer.Option("--effective", help="Defaults too, not only what was set.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print each setting with its value and the file or variable that it came from. Secrets are never shown."""
    from bridge_node.configuration.effective import DEFAULT
    from bridge_node.configuration.effective import effective as every_value

    values = [value for value in every_value(load_or_exit(config)) if effective or value.origin != DEFAULT]
    if as_json:
        typer.echo(json.dumps([value._asdict() for value in values], indent=2, ensure_ascii=False))
        return
    lines = [(f"{key} = {value}", origin) for key, value, origin in values]
    width = max((len(line) for line, _ in lines if len(line) <= LONGEST_ALIGNED), default=0)
    for line, origin in lines:
        typer.echo(f"{line.ljust(width)}  # {origin}")


@app.command()
def reference(
    form: Annotated[Literal["toml", "markdown"], typer.Option("--format", help="What to print.")] = "toml",
) -> None:
    """Print every setting with its default and its meaning: a configuration file to start from."""
    from bridge_node.configuration.reference import as_tables, as_toml

    typer.echo(as_toml() if form == "toml" else as_tables(), nl=False)
