"""What every route of the platform stands on, made once when it starts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge_node.platform import auth, masterkey
from bridge_node.platform.callers import Callers
from bridge_node.platform.database import Database
from bridge_node.platform.figures import Figures
from bridge_node.platform.polls import Polls
from bridge_node.platform.rates import Rate
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.signers import Signers
from bridge_node.platform.signing import SigningKeys
from bridge_node.platform.validation import Validator
from bridge_node.platform.vault import Vault
from bridge_node.platform.wakeups import Waker

_DEFAULT_PORTS = {"http": 80, "https": 443}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Platform:
    """The parts, and nothing that happens."""

    settings: PlatformSettings
    database: Database
    vault: Vault
    issuers: Sequence[auth.TrustedIssuer]
    waker: Waker
    callers: Callers
    polls: Polls
    keys: SigningKeys
    user_rate: Rate
    validator: Validator
    validation_rate: Rate
    figures: Figures
    origins: "Origins"
    now_ms: Callable[[], int]


def assemble(settings: PlatformSettings, now_ms: Callable[[], int] = _now_ms) -> Platform:
    """Makes everything of `settings`; connects to nothing. Raises NoMasterKey, and ValueError for unusable keys."""
    master, previous = masterkey.load(settings)
    limits = settings.limits
    database = Database.open(
        settings.database_url, connections=limits.connections, statement_seconds=limits.statement_seconds
    )
    vault = Vault(master, previous)
    own = [auth.own_issuer(master)] if settings.own_tokens else []
    waker, keys = Waker(database), SigningKeys(vault)
    signers = Signers(database, now_ms)
    failures, figures = Rate(limits.bad_signatures_per_minute, "minute"), Figures()
    polls = Polls(database, signers, waker, vault, keys, settings.lease_seconds, now_ms)
    figures.watch("polls", "Nodes that wait for news.", lambda: polls.waiting)
    figures.watch("broken_documents", "How often a document could not be built.", lambda: polls.broken_documents)
    figures.watch("database_connections", "Connections to the database in use.", lambda: database.in_use)
    return Platform(
        settings=settings,
        database=database,
        vault=vault,
        issuers=[*own, *(auth.trusted(issuer) for issuer in settings.issuers)],
        waker=waker,
        callers=Callers(database, signers, failures, now_ms, settings.network_key, on_refusal=figures.refused),
        polls=polls,
        keys=keys,
        user_rate=Rate(limits.requests_per_second, "second"),
        validator=Validator(
            database,
            waker,
            vault,
            now_ms,
            allow_private=settings.allow_private_endpoints,
            seconds=limits.validation_seconds,
        ),
        validation_rate=Rate(limits.validations_per_minute, "minute"),
        figures=figures,
        origins=Origins(settings.external_urls or (f"http://{settings.host}:{settings.port}",)),
        now_ms=now_ms,
    )


class Origins:
    """The URLs that this platform answers for. A signature made for any other is worth nothing here."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._bases = {_authority(url): url.rstrip("/") for url in urls}

    def url(self, host: str, path: str, query: str) -> str | None:
        """The URL that a request meant, or None when its host is none of ours."""
        for scheme in _DEFAULT_PORTS:
            base = self._bases.get(_authority(f"{scheme}://{host}"))
            if base is not None and base.startswith(f"{scheme}:"):
                return base + path + (f"?{query}" if query else "")
        return None


def _authority(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None
