"""Objects in a directory of this machine, one record file each (promise 6; docs/decisions tells why it is so)."""

from bridge_node.backends.local.backend import LocalBackend
from bridge_node.backends.local.locks import Held, RootUnusable, hold_root

__all__ = ["Held", "LocalBackend", "RootUnusable", "hold_root"]
