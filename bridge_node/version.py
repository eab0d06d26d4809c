"""Which version runs."""

from importlib.metadata import PackageNotFoundError, version


def running_version() -> str:
    """Of the installed distribution; `0+source` when the code runs from a source tree."""
    try:
        return version("bridge-node")
    except PackageNotFoundError:
        return "0+source"
