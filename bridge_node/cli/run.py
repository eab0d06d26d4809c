"""`bridge-node run`: the node itself."""

import os

import typer

from bridge_node.cli.options import DEFAULT_CONFIG, ConfigFile
from bridge_node.cli.outcomes import Exit, complain, show_problems


def run(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run a node in the foreground, until SIGTERM or Ctrl-C drains it.

    SIGHUP reads the configuration again, SIGUSR1 reopens the access log, a second SIGTERM ends at once.
    Exit codes: 0 drained, 1 something failed, 2 the configuration cannot be used.
    """
    from bridge_node import daemon
    from bridge_node.configuration import ConfigurationError

    try:
        code = daemon.run(config, os.environ)
    except ConfigurationError as error:
        show_problems(error.problems)
        raise typer.Exit(Exit.CONFIGURATION) from None
    except daemon.CannotStart as error:
        raise complain(error, Exit.FAILED) from None
    raise typer.Exit(code)
