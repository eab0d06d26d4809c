"""Provider keys and buckets of a declaration."""

from collections.abc import Collection, Mapping
from typing import Any

from bridge_node.platform.apply.declaration import DeclaredBucket, DeclaredProviderKey
from bridge_node.platform.apply.site import CannotApply, Site, described, differing
from bridge_node.platform.store import buckets, providerkeys
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.providerkeys import ProviderKey

# provider keys: a key's description is its name


async def put_provider_keys(site: Site, declared: Mapping[str, DeclaredProviderKey]) -> dict[str, str]:
    """Their ids by name."""
    there: dict[str, ProviderKey] = {}
    for one in await _provider_keys(site):
        if one.description in declared and one.description in there:
            raise CannotApply(f'there are two provider keys "{one.description}"')
        there[one.description] = one
    return {name: await _put_provider_key(site, name, wanted, there.get(name)) for name, wanted in declared.items()}


async def _put_provider_key(site: Site, name: str, wanted: DeclaredProviderKey, there: ProviderKey | None) -> str:
    values = wanted.model_dump(exclude={"secret", "root"}) | {"endpoint": wanted.root or wanted.endpoint}
    secret, vault = wanted.secret.get_secret_value(), site.platform.vault
    if there is None:
        made = site.new_id()
        place = (made, site.organisation_id, site.workspace.id, site.now)
        await providerkeys.add(site.connection, vault, *place, secret=secret, description=name, **values)
        await site.note("create", "provider key", name, made, f"{wanted.provider} {wanted.key}".rstrip())
        return made
    changes = differing(there, values)
    new_secret = None if there.secret(vault) == secret else secret
    if changes or new_secret is not None:
        await providerkeys.change(site.connection, vault, site.organisation_id, there.id, secret=new_secret, **changes)
        detail = described(there, changes, secret=new_secret is not None)
        await site.note("update", "provider key", name, there.id, detail)
    return there.id


async def drop_provider_keys(site: Site, declared: Collection[str]) -> None:
    for there in await _provider_keys(site):
        if there.description in declared:
            continue
        name = there.description or there.id
        if not site.prune:
            await site.leave("provider key", name)
            continue
        if await providerkeys.uses(site.connection, there.id):
            raise CannotApply(f'provider key "{name}" is used in another workspace, so it cannot be deleted')
        await providerkeys.remove(site.connection, site.organisation_id, there.id)
        await site.note("delete", "provider key", name, there.id)


async def _provider_keys(site: Site) -> list[ProviderKey]:
    return await providerkeys.of(site.connection, site.organisation_id, [site.workspace.id])


# buckets


async def put_buckets(
    site: Site, declared: Mapping[str, DeclaredBucket], provider_keys: Mapping[str, str]
) -> dict[str, str]:
    """Their ids by name."""
    there = {one.name: one for one in await buckets.of(site.connection, site.organisation_id)}
    ids = {}
    for name, wanted in declared.items():
        if name in there and there[name].workspace_id != site.workspace.id:
            raise CannotApply(f'a bucket of another workspace is called "{name}"')
        ids[name] = await _put_bucket(site, name, _values(wanted, provider_keys), wanted, there.get(name))
    return ids


def _values(wanted: DeclaredBucket, provider_keys: Mapping[str, str]) -> dict[str, Any]:
    """As the store has them: the endpoint of what is LOCAL is the name of its root."""
    values = wanted.model_dump(exclude={"secret", "provider_key", "root"})
    named = {"provider_key_id": provider_keys[wanted.provider_key] if wanted.provider_key else None}
    return {**values, **named, "endpoint": wanted.root or wanted.endpoint}


async def _put_bucket(
    site: Site, name: str, values: dict[str, Any], wanted: DeclaredBucket, there: Bucket | None
) -> str:
    secret, vault = wanted.secret.get_secret_value(), site.platform.vault
    if there is None:
        made = site.new_id()
        place = (made, site.organisation_id, site.workspace.id, site.now)
        await buckets.add(site.connection, vault, *place, secret=secret, name=name, **values)
        await site.note("create", "bucket", name, made, f"{wanted.storage_type} {wanted.bucket}")
        return made
    changes = differing(there, values)
    new_secret = None if there.secret(vault) == secret else secret
    if changes or new_secret is not None:
        await buckets.change(site.connection, vault, site.organisation_id, there.id, secret=new_secret, **changes)
        detail = described(there, changes, secret=bool(new_secret))
        await site.note("update", "bucket", name, there.id, detail)
    return there.id


async def drop_buckets(site: Site, declared: Collection[str]) -> None:
    for there in await buckets.of(site.connection, site.organisation_id, [site.workspace.id]):
        if there.name in declared:
            continue
        if not site.prune:
            await site.leave("bucket", there.name)
            continue
        if await buckets.uses(site.connection, there.id):
            raise CannotApply(f'bucket "{there.name}" is used in another workspace, so it cannot be deleted')
        await buckets.remove(site.connection, site.organisation_id, there.id, site.now)
        await site.note("delete", "bucket", there.name, there.id)
