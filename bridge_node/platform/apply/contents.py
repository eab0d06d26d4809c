"""Repositories of a declaration, with what they are made of and the keys that open them."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from bridge_node.platform import rules
from bridge_node.platform.apply.declaration import DeclaredKey, DeclaredRepository
from bridge_node.platform.apply.site import CannotApply, NewKey, Site, described, differing
from bridge_node.platform.keypairs import new_pair
from bridge_node.platform.store import attachments, repokeys, repositories
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.repokeys import RepositoryKey
from bridge_node.platform.store.repositories import Repository

Ids = Mapping[str, str]


async def put_repositories(
    site: Site, declared: Mapping[str, DeclaredRepository], buckets: Ids, provider_keys: Ids
) -> None:
    there = {one.name: one for one in await repositories.of(site.connection, site.organisation_id)}
    for name, wanted in declared.items():
        if name in there and there[name].workspace_id != site.workspace.id:
            raise CannotApply(f'a repository of another workspace is called "{name}"')
        repository_id = await _put_repository(site, name, wanted, there.get(name))
        await _attach(site, name, repository_id, _attachments(wanted, buckets, provider_keys))
        await _put_keys(site, name, repository_id, wanted, buckets)


async def _put_repository(site: Site, name: str, wanted: DeclaredRepository, there: Repository | None) -> str:
    values = wanted.model_dump(include={"storage_type", "mode", "disabled", "options"})
    if there is None:
        made = site.new_id()
        place = (made, site.organisation_id, site.workspace.id, site.now)
        await repositories.add(site.connection, site.platform.vault, *place, name=name, **values)
        await site.note("create", "repository", name, made, f"{wanted.storage_type} {wanted.mode}")
        return made
    changes = differing(there, values)
    if "storage_type" in changes:
        raise CannotApply(f'repository "{name}" speaks {there.storage_type}, and so do its keys: make another one')
    if changes:
        await repositories.change(site.connection, site.organisation_id, there.id, **changes)
        await site.note("update", "repository", name, there.id, described(there, changes))
    return there.id


# what it is made of


def _attachments(wanted: DeclaredRepository, buckets: Ids, provider_keys: Ids) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name and columns of what is to be attached, by the id of the bucket or provider key."""
    columns: dict[str, tuple[str, dict[str, Any]]] = {}
    for one in wanted.buckets:
        row = one.model_dump(include={"folder", "master", "options"})
        columns[buckets[one.bucket]] = (one.bucket, {"bucket_id": buckets[one.bucket], **row})
    for account in wanted.accounts:
        key_id = provider_keys[account.provider_key]
        row = {"provider_key_id": key_id, "folder": "", "master": False, "options": account.options}
        columns[key_id] = (account.provider_key, row)
    return {
        target: (name, {**row, "position": position}) for position, (target, (name, row)) in enumerate(columns.items())
    }


async def _attach(
    site: Site, repository: str, repository_id: str, wanted: Mapping[str, tuple[str, dict[str, Any]]]
) -> None:
    there = {one.target.id: one for one in await attachments.of(site.connection, repository_id)}
    for target, (name, row) in wanted.items():
        shown = f"{name} of {repository}"
        if target not in there:
            await attachments.attach(site.connection, site.new_id(), repository_id, **row)
            await site.note("create", "attachment", shown, repository_id)
            continue
        columns = {column: value for column, value in row.items() if not column.endswith("_id")}
        if changes := differing(there[target], columns):
            await attachments.change(site.connection, repository_id, there[target].id, **changes)
            await site.note("update", "attachment", shown, repository_id, described(there[target], changes))
    for target, one in there.items():
        if target not in wanted:
            name = one.target.name if isinstance(one.target, Bucket) else one.target.description or one.target.id
            if site.prune:
                await attachments.detach(site.connection, repository_id, one.id, site.now)
                await site.note("delete", "attachment", f"{name} of {repository}", repository_id)
            else:
                await site.leave("attachment", f"{name} of {repository}")


async def check_repositories(site: Site, declared: Collection[str]) -> None:
    """What was there already, and is not pruned, may contradict what the file adds."""
    there = await repositories.of(site.connection, site.organisation_id, [site.workspace.id])
    present = [one for one in there if one.name in declared]
    attached = await attachments.of_all(site.connection, [one.id for one in present])
    for repository in present:
        parts = attached[repository.id]
        ids = [one.target.id for one in parts]
        elsewhere = await attachments.modes_elsewhere(site.connection, ids, repository.id)
        if found := rules.breach(repository.mode, parts, elsewhere):
            raise CannotApply(f'repository "{repository.name}": {found.message}')


# keys


async def _put_keys(site: Site, repository: str, repository_id: str, wanted: DeclaredRepository, buckets: Ids) -> None:
    live = await repokeys.of(site.connection, repository_id)
    there: dict[str, RepositoryKey] = {}
    for one in live:
        if one.name in there and one.name in wanted.keys:
            raise CannotApply(f'repository "{repository}" has two keys "{one.name}"')
        there[one.name] = one
    for name, key in wanted.keys.items():
        limited = None if key.buckets is None else sorted(buckets[bucket] for bucket in key.buckets)
        if name in there:
            await _change_key(site, f"{name} of {repository}", there[name], key, limited)
        else:
            await _make_key(site, repository, repository_id, wanted.storage_type, name, key, limited)
    for one in live:
        if one.name not in wanted.keys:
            await _drop_key(site, f"{one.name} of {repository}", one)


async def _make_key(
    site: Site,
    repository: str,
    repository_id: str,
    storage_type: str,
    name: str,
    wanted: DeclaredKey,
    limited: list[str] | None,
) -> None:
    key_id = site.new_id()
    domain = site.platform.settings.node_domain
    pair = await asyncio.to_thread(new_pair, storage_type, key_id, repository_id, domain)
    await repokeys.add(
        site.connection,
        site.platform.vault,
        key_id,
        site.organisation_id,
        repository_id,
        pair,
        site.now,
        name=name,
        access=wanted.access,
        buckets=limited,
    )
    await site.note("create", "key", f"{name} of {repository}", key_id, wanted.access)
    site.outcome.keys.append(NewKey(repository, name, wanted.access, pair))


async def _change_key(
    site: Site, shown: str, there: RepositoryKey, wanted: DeclaredKey, limited: list[str] | None
) -> None:
    if changes := differing(there, {"access": wanted.access, "buckets": limited}):
        await repokeys.change(site.connection, there.repository_id, there.id, **changes)
        words = [described(there, {"access": changes["access"]})] if "access" in changes else []
        if "buckets" in changes:
            words.append(f"buckets: {', '.join(wanted.buckets) if wanted.buckets is not None else 'all'}")
        await site.note("update", "key", shown, there.id, ", ".join(words))


async def _drop_key(site: Site, shown: str, there: RepositoryKey) -> None:
    if site.prune:
        await repokeys.remove(site.connection, there.repository_id, there.id, site.now)
        await site.note("delete", "key", shown, there.id)
    else:
        await site.leave("key", shown)


async def drop_repositories(site: Site, declared: Collection[str]) -> None:
    for there in await repositories.of(site.connection, site.organisation_id, [site.workspace.id]):
        if there.name in declared:
            continue
        if site.prune:
            await repositories.remove(site.connection, site.organisation_id, there.id, site.now)
            await site.note("delete", "repository", there.name, there.id)
        else:
            await site.leave("repository", there.name)
