"""What the operator wrote, read and checked."""

from bridge_node.configuration.loading import Configuration, load, reload
from bridge_node.configuration.problems import ConfigurationError, Problem

__all__ = ["Configuration", "ConfigurationError", "Problem", "load", "reload"]
