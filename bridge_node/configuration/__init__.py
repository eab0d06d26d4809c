"""What the operator wrote, read and checked."""

from bridge_node.configuration.loading import Configuration, load, load_settings, reload
from bridge_node.configuration.problems import ConfigurationError, Problem
from bridge_node.configuration.program import Program

__all__ = ["Configuration", "ConfigurationError", "Problem", "Program", "load", "load_settings", "reload"]
