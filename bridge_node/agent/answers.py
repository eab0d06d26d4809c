"""What a platform's answer is worth: signed by a pinned key, for this node, fresh, never older than what is known.

And what follows from it for the repositories in force. Pure but for the keys; nothing here waits, so run it in a
thread when documents may be many.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from joserfc.jwk import OKPKey

from bridge_node.agent.documents import Served, Terms, Unusable, backend_of, served
from bridge_node.catalog import BackendSpec
from bridge_node.crypto import sealing
from bridge_node.crypto.httpsig import FRESH_SECONDS
from bridge_node.crypto.sealing import SealBroken
from bridge_node.messages import BadMessage, ConfigAnswer, PlaceDocument, RepositoryDocument, SealedDocument, digest

MILLISECONDS = 1000


class AnswerRefused(Exception):
    """An answer that changes nothing. `reason` is a word for metrics; the message is for the log."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason.replace("_", " "))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Held:
    """A document in force, and as it was received."""

    digest: str
    sealed: str
    served: Served


@dataclass(frozen=True, slots=True)
class Reader:
    """Checks and opens what was made for one node of one organisation."""

    organisation: str
    node: str
    seal: OKPKey
    platform_keys: Mapping[str, OKPKey]
    terms: Terms

    def answer(self, token: bytes) -> ConfigAnswer:
        """An answer by a key that we trust, to us. Raises AnswerRefused. It may be old."""
        try:
            payload = sealing.opened(token.decode("ascii"), dict(self.platform_keys))
            answer = ConfigAnswer.decode(payload)
        except (SealBroken, UnicodeDecodeError) as error:
            raise AnswerRefused("not_signed", str(error)) from error
        except BadMessage as error:
            raise AnswerRefused("malformed", str(error)) from error
        if (answer.org, answer.node) != (self.organisation, self.node):
            raise AnswerRefused("for_somebody_else")
        return answer

    def fresh_answer(self, token: bytes, now: float, floor: int) -> ConfigAnswer:
        """An answer of this moment, not older than version `floor`. Raises AnswerRefused."""
        answer = self.answer(token)
        if abs(answer.issued_at / MILLISECONDS - now) > FRESH_SECONDS:
            raise AnswerRefused("not_fresh")
        if answer.version < floor:
            raise AnswerRefused("rolled_back", f"version {answer.version} after {floor}")
        if not answer.revoked and answer.not_after / MILLISECONDS <= now:
            raise AnswerRefused("expired")
        return answer

    def place(self, task: str, sealed: str) -> tuple[BackendSpec, str]:
        """The backend and bucket that a task asks to try; raises SealBroken, BadMessage or Unusable."""
        place = PlaceDocument.decode(sealing.unseal(sealed, self._address(task), self.seal))
        return backend_of(place, f"task {task}", self.terms), place.bucket

    def document(self, id: str, sealed: str, wanted: str | None) -> Held:
        """Opens a document; raises SealBroken, BadMessage or Unusable. `wanted` is the digest that it must have."""
        opened = sealing.unseal(sealed, self._address(id), self.seal)
        found = digest(opened)
        if wanted is not None and found != wanted:
            raise Unusable("its digest is another one")
        document = RepositoryDocument.decode(opened)
        if document.id != id:
            raise Unusable("it holds another repository")
        return Held(found, sealed, served(document, self.terms))

    def _address(self, id: str) -> sealing.Address:
        return sealing.Address(self.organisation, self.node, id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Documents that can be used, and why others cannot."""

    held: Mapping[str, Held]
    refused: Mapping[str, str] = field(default_factory=dict)


def opened(reader: Reader, answer: ConfigAnswer) -> Outcome:
    """The documents that an answer brings, one by one: those that are good, and why others are not."""
    good: dict[str, Held] = {}
    refused: dict[str, str] = {}
    for document in answer.documents:
        if document.id not in answer.serves or document.id in answer.removed:
            continue
        try:
            good[document.id] = reader.document(document.id, document.sealed, _digest(answer, document))
        except (SealBroken, BadMessage, Unusable) as error:
            refused[document.id] = str(error)
    return Outcome(good, refused)


def _digest(answer: ConfigAnswer, document: SealedDocument) -> str:
    if answer.serves[document.id] != document.digest:
        raise Unusable("the answer names two digests of it")
    return document.digest


def absorb(answer: ConfigAnswer, documents: Outcome, before: Mapping[str, Held], taken: Collection[str]) -> Outcome:
    """What is in force once the `documents` of an answer are taken up.

    A document that is broken, or brings an access key that another repository or the operator (`taken`) has, leaves
    that repository's last good one in force; removals and all other documents apply.
    """
    remaining = {name: held for name, held in before.items() if name in answer.serves and name not in answer.removed}
    candidates, refused = dict(documents.held), dict(documents.refused)
    for name in _colliding(remaining, candidates, taken):
        refused[name] = "it brings an access key that another repository has"
        del candidates[name]
    return Outcome({**remaining, **candidates}, refused)


def _colliding(before: Mapping[str, Held], candidates: Mapping[str, Held], taken: Collection[str]) -> list[str]:
    """Candidates to be left out so that no two repositories have an access key in common.

    Leaving one out puts its last good document back, which may collide with another candidate: hence the rounds. They
    end, because the last good documents do not collide with each other.
    """
    out: list[str] = []
    while True:
        accepted = {name: held for name, held in candidates.items() if name not in out}
        owners = {
            key: name
            for name, held in before.items()
            for key in _keys(held)
            if name not in accepted or key in _keys(accepted[name])
        }
        collision = _first_collision(accepted, owners, taken)
        if collision is None:
            return out
        out.append(collision)


def _first_collision(accepted: Mapping[str, Held], owners: dict[str, str], taken: Collection[str]) -> str | None:
    """Who had a key before keeps it; of two newcomers, the first in order has it."""
    for name in sorted(accepted):
        for key in _keys(accepted[name]):
            if key in taken or owners.setdefault(key, name) != name:
                return name
    return None


def _keys(held: Held) -> set[str]:
    return {key.id for key in held.served.keys}
