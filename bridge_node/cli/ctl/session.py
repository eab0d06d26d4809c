"""Whom a command asks, and how it ends: every foreseen failure as one line and an exit code."""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from bridge_node.cli.ctl import profiles
from bridge_node.cli.ctl.client import BadAddress, Client, Refused, Server, Unreachable
from bridge_node.cli.ctl.finding import NotOne
from bridge_node.cli.ctl.profiles import BadProfiles, Profile, Profiles
from bridge_node.cli.outcomes import Exit, complain

TOKEN_VARIABLE = "BRIDGE_NODE_CTL_TOKEN"  # noqa: S105 - where it is, not what it is


class NotLoggedIn(Exception):
    """Nobody said whom to ask, or as whom."""


@dataclass(frozen=True, slots=True)
class Session:
    """What `ctl` was told before the command's name."""

    profile_name: str
    profiles_file: Path | None
    url: str
    ca_file: Path | None
    timeout: float
    plain_http: bool

    @property
    def path(self) -> Path:
        return self.profiles_file or profiles.default_path(os.environ)

    def server(self, profile: Profile) -> Server:
        """The platform of `profile`, as far as nothing else was said."""
        ca_file = self.ca_file or (Path(profile.ca_file) if profile.ca_file else None)
        return Server(self.url or profile.url, ca_file, self.timeout, self.plain_http or profile.plain_http)

    def client(self) -> Client:
        """Raises BadProfiles and NotLoggedIn."""
        profile = self.profile()
        return Client(self.server(profile), profile.token)

    def organisation(self) -> str:
        """The id of the caller's organisation: the profile's, else the token's own word. Raises as `client`."""
        profile = self.profile()
        return profile.organisation or organisation_of(profile.token)

    def profile(self) -> Profile:
        """Variables come first; a token of the file never goes to a URL that is not of the file."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if token and self.url:
            return Profile(self.url, token)
        kept = profiles.read(self.path)
        profile = kept.by_name.get(self.profile_name or kept.current)
        if profile is None:
            raise NotLoggedIn(_how_to_log_in(self.profile_name, kept))
        if token:
            return Profile(profile.url, token, profile.ca_file, profile.organisation, profile.plain_http)
        if self.url and self.url.rstrip("/") != profile.url:
            raise NotLoggedIn(f"the token is for {profile.url}; set {TOKEN_VARIABLE} for {self.url}")
        return profile


def _how_to_log_in(name: str, kept: Profiles) -> str:
    if name and kept.by_name:
        return f"there is no profile {name}, but {', '.join(sorted(kept.by_name))}"
    return f"nobody is logged in: `bridge-node ctl login URL`, or BRIDGE_NODE_CTL_URL and {TOKEN_VARIABLE}"


def organisation_of(token: str) -> str:
    """As the token says, which the platform judges. Raises NotLoggedIn when it says nothing."""
    try:
        claims = token.split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["orgId"]
    except (IndexError, ValueError, KeyError, TypeError):
        told = None
    if not isinstance(told, str) or not told:
        raise NotLoggedIn("the token names no organisation: `bridge-node ctl login --organisation ID` keeps one")
    return told


def session_of(ctx: typer.Context) -> Session:
    session: Session = ctx.obj
    return session


@contextmanager
def connected(ctx: typer.Context) -> Iterator[Client]:
    """The platform, for one command."""
    with complaints():
        yield session_of(ctx).client()


@contextmanager
def complaints() -> Iterator[None]:
    try:
        yield
    except (BadProfiles, NotLoggedIn, BadAddress) as error:
        raise complain(error, Exit.CONFIGURATION) from None
    except Unreachable as error:
        raise complain(f"the platform cannot be reached: {error}", Exit.UNREACHABLE) from None
    except NotOne as error:
        raise complain(error, Exit.REFUSED) from None
    except Refused as error:
        raise complain(*_judged(error)) from None


def _judged(error: Refused) -> tuple[str, Exit]:
    match error.status:
        case 401:
            return f"{error}: `bridge-node ctl login` with a new token", Exit.REFUSED
        case 503:
            return f"the platform is not able to answer: {error}", Exit.UNREACHABLE
        case status if status >= 500:
            return f"the platform failed: {error}", Exit.FAILED
    return str(error), Exit.REFUSED
