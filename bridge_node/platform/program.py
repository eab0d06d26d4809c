"""How the platform's settings are read: as the node's are, with variables `BRIDGE_NODE_PLATFORM__SECTION__KEY`."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from bridge_node.configuration import reference
from bridge_node.configuration.checks import Finding
from bridge_node.configuration.program import Program
from bridge_node.crypto import orgkey
from bridge_node.platform import auth
from bridge_node.platform.settings import PlatformSettings

_HEADING = """\
# Every setting of a bridge_node platform with its default. `#` without a space marks examples: what has no default, and
# tables of which there may be several. `bridge-node platform reference` prints this.
#
# Later wins: the defaults, this file, the *.toml files of conf.d/ beside it in the order of their names, environment
# variables BRIDGE_NODE_PLATFORM__SECTION__KEY. Tables are merged key by key, lists are replaced whole. Sizes are bytes,
# times are seconds. Relative paths start at the directory of this file. A secret is text (then nobody else may read
# this file) or a reference: { file = "PATH" }, { env = "VARIABLE" }, or { name = "FILE" } for a file of that name in
# $CREDENTIALS_DIRECTORY or secrets_directory.

"""


def check(settings: PlatformSettings) -> Iterator[Finding]:
    """What types alone cannot say."""
    yield from _database(settings)
    for index, url in enumerate(settings.external_urls):
        if not _is_origin(url):
            yield Finding(("external_urls", index), "must be https://host[:port]")
    for index, issuer in enumerate(settings.issuers):
        try:
            auth.trusted(issuer)
        except ValueError:  # what it says may quote the key
            yield Finding(("issuers", index, "key"), f"is not usable for {issuer.algorithm}")
    if not settings.own_tokens and not settings.issuers:
        yield Finding(("own_tokens",), "nobody could log in: allow own tokens, or name an issuer")
    if settings.network_key:
        try:
            orgkey.load_public(settings.network_key)
        except orgkey.BadOrganisationKey as error:
            yield Finding(("network_key",), str(error))


def _database(settings: PlatformSettings) -> Iterator[Finding]:
    try:
        known = make_url(settings.database_url).get_backend_name() in {"sqlite", "postgresql", "postgres"}
    except ArgumentError:
        known = False
    if not known:
        yield Finding(("database",), "must be postgresql://user:password@host/name or sqlite:///path")


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
        )
    except ValueError:
        return False


PLATFORM = Program(
    PlatformSettings, "BRIDGE_NODE_PLATFORM__", check, aliases={"ORGKEYS_MAX": "LIMITS__ORGANISATION_KEYS"}
)


def as_toml() -> str:
    """A configuration file with every setting at its default: `config/platform.toml`."""
    return reference.as_toml(PlatformSettings, _HEADING)
