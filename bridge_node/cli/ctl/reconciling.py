"""What differs between a declaration and a workspace, made so by one call of the API after the other.

What others refer to is made first and deleted last. What a declaration leaves out stays as it is; secrets are not told
by the API, so they are sent with what is new, with a new key, and when they are asked to be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge_node.cli.ctl import finding
from bridge_node.cli.ctl.client import Client, place
from bridge_node.cli.ctl.finding import Item
from bridge_node.platform.apply import CannotApply, Change, Declaration, NewKey, Outcome
from bridge_node.platform.apply.declaration import (
    DeclaredBucket,
    DeclaredKey,
    DeclaredProviderKey,
    DeclaredRepository,
)
from bridge_node.platform.store.repokeys import Pair
from bridge_node.settings import Section

Ids = Mapping[str, str]

_LEFT = "not in the file; --prune deletes it"


@dataclass(frozen=True, slots=True)
class Wishes:
    """`secrets`: send those of what is there, too."""

    prune: bool = False
    dry_run: bool = False
    secrets: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """One workspace. `outcome` grows by what was done, so that it is told even if the platform refuses what follows."""

    client: Client
    workspace_id: str
    wishes: Wishes
    outcome: Outcome

    def there(self, path: str, field: str) -> list[Item]:
        found: list[Item] = self.client.get(path, workspaceId=self.workspace_id)[field]
        return found

    def do(self, changes: Sequence[Change], call: Callable[[], Any]) -> Any:
        """The answer; None in a dry run, in which what is new has no id."""
        answer = None if self.wishes.dry_run else call()
        self.outcome.changes.extend(changes)
        return answer

    def drop(self, kind: str, name: str, path: str) -> None:
        """What the file does not name."""
        if self.wishes.prune:
            self.do([Change("delete", kind, name)], lambda: self.client.delete(path))
        else:
            self.outcome.changes.append(Change("leave", kind, name, _LEFT))


def reconcile(client: Client, organisation_id: str, declared: Declaration, wishes: Wishes, outcome: Outcome) -> None:
    """Fills `outcome`. Raises CannotApply, and what `client` raises; then what `outcome` says is done already."""
    _require_organisation(client, organisation_id, declared.organisation)
    work = _Work(client, finding.workspace(client, declared.workspace), wishes, outcome)
    there = {
        "keys": _by_name(work.there("/apikeys", "apiKeys"), declared.provider_keys, "description"),
        "buckets": _by_name(work.there("/bucket", "buckets"), declared.buckets),
        "repositories": _by_name(work.there("/repo", "repos"), declared.repositories),
    }
    keys = {
        name: _put_provider_key(work, name, one, there["keys"].get(name))
        for name, one in declared.provider_keys.items()
    }
    buckets = {
        name: _put_bucket(work, name, one, there["buckets"].get(name), keys) for name, one in declared.buckets.items()
    }
    for name, repository in declared.repositories.items():
        _put_repository(work, name, repository, there["repositories"].get(name), buckets, keys)
    for name, one in _others(there["repositories"], declared.repositories):
        work.drop("repository", name, place("repo", one["id"]))
    for name, one in _others(there["buckets"], declared.buckets):
        work.drop("bucket", name, place("bucket", one["id"]))
    for name, one in _others(there["keys"], declared.provider_keys):
        work.drop("provider key", name, place("apikeys", one["id"]))


def _require_organisation(client: Client, organisation_id: str, wanted: str) -> None:
    if wanted and wanted != organisation_id:
        told = client.get(place("organization", organisation_id))["data"]
        if told["name"] != wanted:
            raise CannotApply(f'the token is for the organisation "{told["name"]}", the file for "{wanted}"')


def _by_name(items: Sequence[Item], declared: Mapping[str, Any], field: str = "name") -> dict[str, Item]:
    found: dict[str, Item] = {}
    for one in items:
        name = one.get(field) or one["id"]
        if name in found and name in declared:
            raise CannotApply(f'two are called "{name}"')
        found[name if name not in found else one["id"]] = one
    return found


def _others(there: Mapping[str, Item], declared: Mapping[str, Any]) -> Iterator[tuple[str, Item]]:
    return ((name, one) for name, one in there.items() if name not in declared)


# provider keys and buckets

_KEY_FIELDS = {
    "provider": "provider",
    "key": "key",
    "endpoint": "endpoint",
    "root": "endpoint",
    "region": "region",
    "tenant_id": "tenantId",
    "subscription_id": "subscriptionId",
}
_BUCKET_FIELDS = {
    "bucket": "bucket",
    "storage_type": "storageType",
    "key": "key",
    "endpoint": "endpoint",
    "root": "endpoint",
    "region": "region",
    "project_id": "projectId",
}


def _put_provider_key(work: _Work, name: str, wanted: DeclaredProviderKey, there: Item | None) -> str:
    values = {**_said(wanted, _KEY_FIELDS), "provider": wanted.provider}
    secret = wanted.secret.get_secret_value()
    if there is None:
        body = {**values, "description": name, "workspaceId": work.workspace_id, "secret": secret}
        change = Change("create", "provider key", name, f"{wanted.provider} {wanted.key}".rstrip())
        made = work.do([change], lambda: work.client.post("/apikeys", body))
        return made["apiKeyId"] if made else f"new {name}"
    changes = _differing(there, values)
    sent = {"secret": secret} if secret and (work.wishes.secrets or "key" in changes) else {}
    if changes or sent:
        change = Change("update", "provider key", name, _described(there, changes, secret=bool(sent)))
        work.do([change], lambda: work.client.put(place("apikeys", there["id"]), {**changes, **sent}))
    return str(there["id"])


def _put_bucket(work: _Work, name: str, wanted: DeclaredBucket, there: Item | None, keys: Ids) -> str:
    values = {**_said(wanted, _BUCKET_FIELDS), "storageType": wanted.storage_type}
    secret, through = wanted.secret.get_secret_value(), keys.get(wanted.provider_key)
    if there is None:
        reached = {"apiKeyUuid": through} if through else {"secret": secret} if secret else {}
        body = {**values, **reached, "name": name, "workspaceId": work.workspace_id}
        change = Change("create", "bucket", name, f"{wanted.storage_type} {wanted.bucket}")
        made = work.do([change], lambda: work.client.post("/bucket", body))
        return made["bucketId"] if made else f"new {name}"
    changes = _differing(there, values)
    sent: dict[str, Any] = {}
    details = []
    if through != there.get("apiKeyId"):
        details = [f"provider key: {wanted.provider_key or 'none'}"]
        sent = {"apiKeyUuid": through} if through else {}
    if not through and secret and (details or work.wishes.secrets or "key" in changes):
        sent["secret"] = secret
    if changes or details or sent:
        told = _described(there, changes, secret="secret" in sent)
        change = Change("update", "bucket", name, ", ".join([*details, *([told] if told else [])]))
        work.do([change], lambda: work.client.put(place("bucket", there["id"]), {**changes, **sent}))
    return str(there["id"])


# repositories


def _put_repository(
    work: _Work, name: str, wanted: DeclaredRepository, there: Item | None, buckets: Ids, keys: Ids
) -> None:
    present = there or {}
    fields = {"storageType": wanted.storage_type, "mode": wanted.mode, **_said(wanted, _REPOSITORY_FIELDS)}
    changes = _differing(present, fields)
    action: list[Change] = []
    if there is None:
        action = [Change("create", "repository", name, f"{wanted.storage_type} {wanted.mode}")]
    elif changes:
        action = [Change("update", "repository", name, _described(there, changes))]
    attaching, parts = _attachments(work, name, _parts(wanted, buckets, keys), present.get("buckets", ()))
    repository_id = _written(work, name, there, [*action, *attaching], {**changes, **parts})
    _put_keys(work, name, repository_id, wanted, present.get("apiKeys", ()), buckets)


_REPOSITORY_FIELDS = {"disabled": "disabled", "options": "options"}


def _written(work: _Work, name: str, there: Item | None, changes: Sequence[Change], body: Mapping[str, Any]) -> str:
    """The repository's id, once it is as it should be."""
    if there is not None:
        if body:
            work.do(changes, lambda: work.client.put(place("repo", there["id"]), body))
        return str(there["id"])
    made = {**body, "name": name, "workspaceId": work.workspace_id}
    answer = work.do(changes, lambda: work.client.post("/repo", made))
    if not answer:
        return ""
    if body.get("disabled"):  # which only changes know
        work.client.put(place("repo", answer["repoId"]), {"disabled": True})
    return str(answer["repoId"])


def _parts(wanted: DeclaredRepository, buckets: Ids, keys: Ids) -> dict[str, tuple[str, Item]]:
    """Name and body of what is to be attached, by its id."""
    parts: dict[str, tuple[str, Item]] = {}
    for one in wanted.buckets:
        said = _said(one, {"folder": "folder", "options": "options"})
        body = {"bucketId": buckets[one.bucket], "master": one.master, **said}
        parts[buckets[one.bucket]] = (one.bucket, body)
    for account in wanted.accounts:
        said = _said(account, {"options": "options"})
        body = {"apiKeyUuid": keys[account.provider_key], "account": True, **said}
        parts[keys[account.provider_key]] = (account.provider_key, body)
    return parts


def _attachments(
    work: _Work, repository: str, wanted: Mapping[str, tuple[str, Item]], present: Sequence[Item]
) -> tuple[list[Change], Item]:
    """What is attached, changed and dropped; and the body that does it, empty when nothing does."""
    there = {_target(one): one for one in present}
    changes = []
    for target, (name, body) in wanted.items():
        shown = f"{name} of {repository}"
        if target not in there:
            changes.append(Change("create", "attachment", shown))
        elif differing := _differing(there[target], body):
            changes.append(Change("update", "attachment", shown, _described(there[target], differing)))
    parts = [body for _, body in wanted.values()]
    for target, one in there.items():
        if target in wanted:
            continue
        shown = f"{one['bucket']['name'] if 'bucket' in one else target} of {repository}"
        if work.wishes.prune:
            changes.append(Change("delete", "attachment", shown))
        else:
            work.outcome.changes.append(Change("leave", "attachment", shown, _LEFT))
            kept = ("bucketId", "apiKeyUuid", "account", "master")
            parts.append({field: one[field] for field in kept if field in one})
    return changes, {"repoBuckets": parts} if changes else {}


def _target(part: Item) -> str:
    return str(part.get("bucketId") or part["apiKeyUuid"])


# access keys


def _put_keys(
    work: _Work, repository: str, repository_id: str, wanted: DeclaredRepository, present: Sequence[Item], buckets: Ids
) -> None:
    there, path = _by_name(present, wanted.keys), place("repo", repository_id, "apikey")
    for name, key in wanted.keys.items():
        limits = None if key.buckets is None else sorted(buckets[bucket] for bucket in key.buckets)
        if name in there:
            _change_key(work, f"{name} of {repository}", path + place(there[name]["id"]), there[name], key, limits)
        else:
            _make_key(work, repository, path, name, key, limits)
    for name, one in _others(there, wanted.keys):
        work.drop("key", f"{name} of {repository}", path + place(one["id"]))


def _make_key(
    work: _Work, repository: str, path: str, name: str, wanted: DeclaredKey, limits: Sequence[str] | None
) -> None:
    body = {"name": name, "accessType": wanted.access, **({} if limits is None else {"buckets": limits})}
    change = Change("create", "key", f"{name} of {repository}", wanted.access)
    made = work.do([change], lambda: work.client.post(path, body))
    if made:
        work.outcome.keys.append(NewKey(repository, name, wanted.access, Pair(made["key"], made["secret"])))


def _change_key(
    work: _Work, shown: str, path: str, there: Item, wanted: DeclaredKey, limits: Sequence[str] | None
) -> None:
    changes: dict[str, Any] = {}
    words = []
    if wanted.access != there["accessType"]:
        changes["accessType"] = wanted.access
        words.append(_described(there, {"accessType": wanted.access}))
    if limits != (sorted(there["buckets"]) if "buckets" in there else None):
        changes["buckets"] = limits
        words.append(f"buckets: {', '.join(wanted.buckets) if wanted.buckets is not None else 'all'}")
    if changes:
        work.do([Change("update", "key", shown, ", ".join(words))], lambda: work.client.put(path, changes))


# what is said, and how it differs


def _said(declared: Section, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the file says, under the API's names; what it leaves out is not there."""
    return {wire: getattr(declared, name) for name, wire in fields.items() if name in declared.model_fields_set}


def _differing(there: Item, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The API leaves out what is empty."""
    return {field: value for field, value in wanted.items() if (there.get(field) or None) != (value or None)}


def _described(there: Item, changes: Mapping[str, Any], *, secret: bool = False) -> str:
    """What changes, in words; of a secret, only that it is sent."""
    shown = [f"{field}: {_text(there.get(field))} → {_text(value)}" for field, value in changes.items()]
    return ", ".join([*shown, "its secret"] if secret else shown)


def _text(value: Any) -> str:
    return "none" if value in (None, "", {}) else str(value).lower() if isinstance(value, bool) else str(value)
