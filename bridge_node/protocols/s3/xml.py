"""XML as S3 writes it: bounded reading, safe writing. The documents themselves are in `documents` and `listings`."""

import re
from datetime import datetime
from functools import lru_cache
from time import gmtime
from urllib.parse import quote, unquote_plus

from lxml import etree

from bridge_node.errors import MalformedDocument
from bridge_node.objects import Checksum

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 16
MAX_MARKS = 400_000
"""Most tags, and most quotes: each may cost a hundred times its length. The longest document that means something, a
Complete of 10,000 parts, has less than half as many."""

Element = etree._Element  # noqa: SLF001 - the class has no other name

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_MARKUP = re.compile('[&<>"\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]')
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


# --- reading -------------------------------------------------------------------------------------------------------


def parse(data: bytes, *roots: str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Element:
    """The root element; raises MalformedDocument unless it has one of the names `roots`, where any are given.

    UTF-8 only, no DTD and so no entities, bounded size and depth (checklist 83).
    """
    quotes = data.count(b'"') + data.count(b"'")
    if len(data) > max_bytes or b"<!DOCTYPE" in data or max(data.count(b"<"), quotes) > MAX_MARKS:
        raise MalformedDocument(reason="forbidden_xml")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedDocument(reason="malformed_xml") from error
    if root is None or _deeper_than(max_depth)(root) or (roots and local_name(root) not in roots):
        raise MalformedDocument(reason="unexpected_xml")
    return root


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")


def local_name(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def fields(element: Element) -> dict[str, str]:
    """Texts of the children by their names; the last of a repeated name counts."""
    return {str(child.tag).rpartition("}")[2]: child.text or "" for child in element}


def children(element: Element, name: str) -> list[Element]:
    """The children of that name, whatever their namespace."""
    return element.findall(f"{{*}}{name}")


def text_of(element: Element, name: str) -> str:
    """The text of the first child of that name, "" without one."""
    return element.findtext(f"{{*}}{name}", "")


def number(text: str, default: int | None = None) -> int:
    """A decimal count; raises MalformedDocument, or returns `default` for an empty text where it is given."""
    if default is not None and not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise MalformedDocument(reason="malformed_number")
    return int(text)


def parse_iso_date(text: str) -> float:
    """Epoch seconds of `2009-10-12T17:50:30.000Z`; raises MalformedDocument."""
    if not _ISO_DATE.fullmatch(text):
        raise MalformedDocument(reason="malformed_date")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise MalformedDocument(reason="malformed_date") from error


def url_decoded(text: str) -> str:
    """A text under `encoding-type=url`; raises MalformedDocument for what is not UTF-8. S3 writes spaces as `+`."""
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise MalformedDocument(reason="not_utf8") from error


# --- writing -------------------------------------------------------------------------------------------------------


def document(name: str, content: str, *, namespace: bool = True) -> bytes:
    """A whole document of one root element around `content`, which is markup."""
    attribute = f' xmlns="{NAMESPACE}"' if namespace else ""
    return f"{DECLARATION}<{name}{attribute}>{content}</{name}>".encode()


def element(name: str, text: object) -> str:
    """One element with a text."""
    return f"<{name}>{escaped(str(text))}</{name}>"


def optional(name: str, text: object) -> str:
    """One element with a text, nothing for None and ""."""
    return "" if text is None or text == "" else element(name, text)


def escaped(text: str) -> str:
    """`text` as it stands between tags or in quotes.

    Characters that XML 1.0 cannot hold become character references, as S3 writes them: a client that can meet such
    keys asks for `encoding-type=url` (checklist 35).
    """
    return _MARKUP.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _NAMED.get(character) or f"&#x{ord(character):X};"


def is_legal(text: str) -> bool:
    """Whether an XML 1.0 document can hold `text`."""
    return not _ILLEGAL.search(text)


def url_encoded(text: str) -> str:
    """A text under `encoding-type=url`."""
    return quote(text, safe="/")


def iso_date(timestamp: float) -> str:
    """`2009-10-12T17:50:30.000Z`."""
    milliseconds = int(timestamp * 1000 + 0.5)
    return f"{_iso_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4096)
def _iso_second(second: int) -> str:
    year, month, day, hour, minute, seconds, *_ = gmtime(second)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{seconds:02}"


# --- checksums -----------------------------------------------------------------------------------------------------

_CHECKSUM_ELEMENTS = {
    "crc32": "ChecksumCRC32",
    "crc32c": "ChecksumCRC32C",
    "crc64nvme": "ChecksumCRC64NVME",
    "sha1": "ChecksumSHA1",
    "sha256": "ChecksumSHA256",
}


def checksum_text(checksum: Checksum, parts: int | None = None) -> str:
    """A checksum's value in headers and documents: with `-N` behind it when it is composite."""
    return f"{checksum.value}-{parts}" if checksum.composite and parts else checksum.value


def checksum_elements(checksum: Checksum | None, parts: int | None = None) -> str:
    """Value and type of a checksum, nothing for None."""
    if checksum is None:
        return ""
    return element(_CHECKSUM_ELEMENTS[checksum.algorithm], checksum_text(checksum, parts)) + element(
        "ChecksumType", "COMPOSITE" if checksum.composite else "FULL_OBJECT"
    )


def part_checksum_element(checksum: Checksum | None) -> str:
    """Value of a part's checksum, which has no type; nothing for None."""
    return "" if checksum is None else element(_CHECKSUM_ELEMENTS[checksum.algorithm], checksum.value)


def read_checksum(texts: dict[str, str]) -> Checksum | None:
    """The checksum among an element's `fields`, if any."""
    for algorithm, name in _CHECKSUM_ELEMENTS.items():
        text = texts.get(name)
        if text:
            value, composite, _ = text.partition("-")
            return Checksum(algorithm, value, bool(composite) or texts.get("ChecksumType") == "COMPOSITE")
    return None
