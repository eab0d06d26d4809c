"""XML as S3 writes it: bounded reading, safe writing. The documents themselves are in `documents` and `listings`."""

from lxml import etree

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 16


def parse(data: bytes, root: str | None = None, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> etree._Element:
    """The root element, with namespaces removed; raises MalformedDocument.

    No DTD, no entities, no network, bounded size and depth (checklist 83). `root` is the name that it must have.
    """
    raise NotImplementedError


def iso_date(timestamp: float) -> str:
    """`2009-10-12T17:50:30.000Z`."""
    raise NotImplementedError


def parse_iso_date(text: str) -> float:
    """Epoch seconds; raises MalformedDocument."""
    raise NotImplementedError
