"""Buckets (contract §1), but for their statistics.

Nothing is locked while a bucket is tried: what was looked at before is looked at again when it is written down.
Whatever changes a bucket locks its organisation first, as changes of repositories do.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit, rules
from bridge_node.platform.api import bucketbodies
from bridge_node.platform.api.bucketbodies import BucketChange, BucketFields, NewBucket, Wanted
from bridge_node.platform.api.shapes import storage_bucket
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest, Forbidden, NotFound, TooMany
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.liveness import Known, known, status_of
from bridge_node.platform.reaching import Reached, Unreachable
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import attachments, buckets, nodes, organisations, providerkeys, stats, workspaces
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.stats import Newest
from bridge_node.platform.tolerance import given, iso

router = APIRouter(prefix="/bucket", tags=["buckets"])

WorkspaceId = Annotated[str | None, Query(alias="workspaceId")]
_TAKEN = "A bucket of this name is in the organisation already"


@router.get("")
async def list_buckets(
    user: User,
    platform: Here,
    workspace_id: WorkspaceId = None,
    wallet_address: Annotated[str | None, Query(alias="walletAddress")] = None,
) -> dict[str, Any]:
    """Of one workspace, or everything that the caller may see."""
    async with platform.database.reading() as connection:
        seen = await access.readable(connection, user, None)
        wanted = await access.readable(connection, user, given(workspace_id))
        found = await buckets.of(connection, user.organisation_id, wanted, wallet_address=given(wallet_address))
        ids = [bucket.id for bucket in found]
        states = await _states(connection, user, found, platform.now_ms())
        using = await buckets.repositories_with(connection, ids)
    return {
        "success": True,
        "buckets": [
            storage_bucket(
                bucket,
                status=states[bucket.id].status,
                status_at=states[bucket.id].at,
                repos=[one for one in using.get(bucket.id, ()) if seen is None or one.workspace_id in seen],
            )
            for bucket in found
        ],
    }


@router.get("/available")
async def list_available(user: User, platform: Here, workspace_id: WorkspaceId = None) -> list[dict[str, Any]]:
    """Those that no mirror has: they may go into another repository. A bare list: so the contract has it."""
    async with platform.database.reading() as connection:
        wanted = await access.readable(connection, user, given(workspace_id))
        found = await buckets.of(connection, user.organisation_id, wanted)
        using = await buckets.repositories_with(connection, [bucket.id for bucket in found])
        states = await _states(connection, user, found, platform.now_ms())
    mirrored = {name for name, repositories in using.items() if any(one.mode == "MIRROR" for one in repositories)}
    return [
        storage_bucket(bucket, status=states[bucket.id].status, status_at=states[bucket.id].at)
        for bucket in found
        if bucket.id not in mirrored
    ]


@router.get("/{bucket_id}/status")
async def bucket_status(bucket_id: str, user: User, platform: Here) -> dict[str, Any]:
    """What each node last said about it. No `success`: so the contract has it."""
    async with platform.database.reading() as connection:
        bucket = await access.bucket(connection, user, bucket_id, "READ")
        reports = await _reports(connection, user, [bucket.id])
        found = {node.id: node for node in await nodes.with_ids(connection, [one.node_id for one in reports])}
    now = platform.now_ms()
    shown = [_node_status(found[one.node_id], one, now) for one in reports if one.node_id in found]
    return {**_named(bucket.id), "nodeStatus": shown}


@router.post("")
async def create_bucket(said: NewBucket, user: User, platform: Here) -> dict[str, Any]:
    """Tries the credentials before anything is stored."""
    now = platform.now_ms()
    async with platform.database.reading() as connection:
        await access.workspace(connection, user, said.workspace_id, "WRITE")
        provider_key = await _provider_key(connection, user, said, said.workspace_id)
        await _require_room(connection, platform, user.organisation_id)
        if await buckets.is_named(connection, user.organisation_id, said.name):
            raise BadRequest(_TAKEN)
    wanted = bucketbodies.new(said, provider_key)
    wanted.require_allowed(platform.settings)
    checked = await _require_reachable(platform, user, wanted, None)
    bucket_id = new_id(now)
    try:
        async with platform.database.transaction() as connection:
            await organisations.lock(connection, user.organisation_id)
            await access.workspace(connection, user, said.workspace_id, "WRITE", lock=True)
            await _provider_key(connection, user, said, said.workspace_id, lock=True)
            await _require_room(connection, platform, user.organisation_id)
            place = (bucket_id, user.organisation_id, said.workspace_id, now)
            row = {"name": said.name, "wallet_address": said.wallet_address, **wanted.columns(), **_check(checked, now)}
            await buckets.add(connection, platform.vault, *place, secret=wanted.secret, **row)
            await _record(connection, Event.CREATED, bucket_id, said.workspace_id, user, now, _shown(said.name, wanted))
    except IntegrityError as error:
        raise BadRequest(_TAKEN) from error
    return {"success": True, **_named(bucket_id)}


@router.put("/{bucket_id}")
async def change_bucket(bucket_id: str, said: BucketChange, user: User, platform: Here) -> dict[str, Any]:
    """Only what is given changes; what leads elsewhere, or there with other credentials, is tried before."""
    async with platform.database.reading() as connection:
        before = await access.bucket(connection, user, bucket_id, "WRITE")
        if said.workspace_id not in {None, before.workspace_id}:
            raise BadRequest("workspaceId: a bucket stays in its workspace")
        present = await _present(connection, platform, user, before)
        wanted = present.with_(said, await _provider_key(connection, user, said, before.workspace_id))
        state = (await _states(connection, user, [before], platform.now_ms()))[before.id]
    checked = None
    if wanted != present:
        wanted.require_allowed(platform.settings)
        checked = await _require_reachable(platform, user, wanted, bucket_id)
    await _change(platform, user, before, said, wanted, checked)
    if checked is not None:
        state = Known(checked.status, None, checked.latency_ms)
    return {"success": True, **_named(bucket_id), **_state(state)}


@router.delete("/{bucket_id}")
async def delete_bucket(bucket_id: str, user: User, platform: Here) -> dict[str, Any]:
    """Hides it, forgets its secret, and gives its name and its place in the quota back."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        bucket = await access.bucket(connection, user, bucket_id, "WRITE", lock=True)
        if uses := await buckets.uses(connection, bucket_id):
            raise Forbidden(f"Bucket is attached to {uses} repositor{'y' if uses == 1 else 'ies'}")
        await buckets.remove(connection, user.organisation_id, bucket_id, now)
        await _record(connection, Event.DELETED, bucket_id, bucket.workspace_id, user, now, {"name": bucket.name})
    return {"success": True}


@router.post("/{bucket_id}/validate")
async def validate_bucket(
    bucket_id: str, user: User, platform: Here, said: Annotated[BucketFields | None, Body()] = None
) -> dict[str, Any]:
    """Reaches the bucket: as it is stored, or with what the body has in its place.

    With credentials in the body the bucket need not be stored: clients then send any id (contract §10.21).
    """
    platform.validation_rate.hit(user.user_id)
    said = said or BucketFields()
    async with platform.database.reading() as connection:
        stored, wanted = await _to_validate(connection, platform, user, bucket_id, said)
    wanted.require_allowed(platform.settings)
    reached = await platform.validator.tried(user.organisation_id, wanted.place(platform.vault), bucket_id)
    if isinstance(reached, Unreachable):
        raise BadRequest(reached.message)
    if stored:
        async with platform.database.statement() as connection:
            place = (user.organisation_id, bucket_id, reached.status, reached.latency_ms)
            await buckets.checked(connection, *place, platform.now_ms())
    if not reached.found:
        raise BadRequest(reached.message, status=reached.status)
    return {"success": True, "message": reached.message, **_state(Known(reached.status, None, reached.latency_ms))}


async def _to_validate(
    connection: AsyncConnection, platform: Platform, user: Principal, bucket_id: str, said: BucketFields
) -> tuple[bool, Wanted]:
    """What is to be tried, and whether that is a bucket as it is stored."""
    bucket = await buckets.with_id(connection, user.organisation_id, bucket_id)
    if bucket is None:
        if not said.names_credentials or not await _may_create(connection, user):
            raise NotFound("No such bucket", "NOT_FOUND")
        return False, bucketbodies.unsaved(said, await _provider_key(connection, user, said, None))
    await access.require(connection, user, bucket.workspace_id, "READ")
    present = await _present(connection, platform, user, bucket)
    wanted = present.with_(said, await _provider_key(connection, user, said, bucket.workspace_id))
    if wanted == present:
        return True, present
    await access.require(connection, user, bucket.workspace_id, "WRITE")
    return False, wanted


async def _may_create(connection: AsyncConnection, user: Principal) -> bool:
    if user.sees_every_workspace:
        return True
    return any(one != "READ" for one in (await workspaces.access_of(connection, user.user_id)).values())


async def _present(connection: AsyncConnection, platform: Platform, user: Principal, bucket: Bucket) -> Wanted:
    """The bucket as it is stored, with what reaches it."""
    provider_key = None
    if bucket.provider_key_id:
        provider_key = await providerkeys.with_id(connection, user.organisation_id, bucket.provider_key_id)
    return Wanted.stored(bucket, provider_key, platform.vault)


async def _provider_key(
    connection: AsyncConnection,
    user: Principal,
    said: BucketFields,
    workspace_id: str | None,
    *,
    lock: bool = False,
) -> ProviderKey | None:
    """The provider key that is named. Raises NotFound, Forbidden, and BadRequest for one of another workspace."""
    if not said.provider_key_id:
        return None
    found = await access.provider_key(connection, user, said.provider_key_id, "WRITE", lock=lock)
    if workspace_id not in {None, found.workspace_id}:
        raise BadRequest("apiKeyUuid: the API key belongs to another workspace")
    return found


async def _require_room(connection: AsyncConnection, platform: Platform, organisation_id: str) -> None:
    most = platform.settings.limits.buckets
    if await buckets.count(connection, organisation_id) >= most:
        raise TooMany(f"All {most} buckets of the organisation are in use; delete one first", **_named(""))


async def _require_reachable(
    platform: Platform, user: Principal, wanted: Wanted, bucket_id: str | None
) -> Reached | None:
    """Raises BadRequest for credentials that do not do, which counts as a validation. None: nobody could try them.

    A LOCAL bucket has no credentials; it may come to be on the nodes later.
    """
    if not platform.settings.check_credentials or wanted.storage_type == "LOCAL":
        return None
    platform.validation_rate.check(user.user_id)
    reached = await platform.validator.tried(user.organisation_id, wanted.place(platform.vault), bucket_id)
    if isinstance(reached, Unreachable):
        return None
    if not reached.found:
        platform.validation_rate.hit(user.user_id)
        raise BadRequest(f"The bucket cannot be used: {reached.message}")
    return reached


async def _change(
    platform: Platform, user: Principal, before: Bucket, said: BucketChange, wanted: Wanted, checked: Reached | None
) -> None:
    """Writes down what differs. Raises BadRequest when the bucket is not any more what was looked at."""
    now = platform.now_ms()
    labels = {"name": said.name, "wallet_address": said.wallet_address}
    columns = {**wanted.columns(), **{name: value for name, value in labels.items() if value is not None}}
    changes = {name: value for name, value in columns.items() if getattr(before, name) != value}
    try:
        async with platform.database.transaction() as connection:
            await organisations.lock(connection, user.organisation_id)
            locked = await access.bucket(connection, user, before.id, "WRITE", lock=True)
            if _uncheck(locked) != _uncheck(before):
                raise BadRequest("Somebody else changed the bucket meanwhile; try again")
            await _provider_key(connection, user, said, before.workspace_id, lock=True)
            secret = None if wanted.secret == before.secret(platform.vault) else wanted.secret
            values = {**changes, **_check(checked, now)}
            place = (user.organisation_id, before.id)
            await buckets.change(connection, platform.vault, *place, secret=secret, **values)
            await _require_rules(connection, before.id)
            shown = {**_shown(columns.get("name", before.name), wanted), "changed": _changed(changes, secret)}
            await _record(connection, Event.UPDATED, before.id, before.workspace_id, user, now, shown)
    except IntegrityError as error:
        raise BadRequest(_TAKEN) from error


async def _require_rules(connection: AsyncConnection, bucket_id: str) -> None:
    """Raises BadRequest where a repository may not be made of what the bucket has become."""
    using = (await buckets.repositories_with(connection, [bucket_id])).get(bucket_id, [])
    attached = await attachments.of_all(connection, [one.id for one in using])
    for repository in using:
        if found := rules.breach(repository.mode, attached[repository.id], {}):
            raise BadRequest(f'repository "{repository.name}": {found.message}')


def _uncheck(bucket: Bucket) -> Bucket:
    """Trying a bucket does not change it."""
    return replace(bucket, checked_status="", checked_latency_ms=None, checked_at=None)


def _changed(changes: Iterable[str], secret: str | None) -> list[str]:
    return sorted([*changes, *(["secret"] if secret is not None else [])])


async def _reports(connection: AsyncConnection, user: Principal, ids: list[str]) -> list[Newest]:
    member = None if user.sees_every_workspace else user.user_id
    return await stats.newest(connection, user.organisation_id, member, ids)


async def _states(connection: AsyncConnection, user: Principal, found: Iterable[Bucket], now: int) -> dict[str, Known]:
    """What is known of each bucket, by its id."""
    by_id = {bucket.id: bucket for bucket in found}
    reports: dict[str, list[Newest]] = {name: [] for name in by_id}
    for one in await _reports(connection, user, list(by_id)):
        reports[one.bucket_id].append(one)
    return {name: known(bucket, reports[name], now) for name, bucket in by_id.items()}


def _node_status(node: Node, report: Newest, now: int) -> dict[str, Any]:
    """NodeStatusInfo, under both names of the latency."""
    return {
        "ip": node.ip,
        "region": node.region,
        "version": node.version,
        "status": status_of(report, now),
        **_latencies(report.latency_ms),
        "lastUpdated": iso(report.reported_at),
    }


def _state(state: Known) -> dict[str, Any]:
    return {"status": state.status, **_latencies(state.latency_ms)} if state.status else {}


def _latencies(latency_ms: float | None) -> dict[str, int]:
    whole = round(latency_ms or 0)
    return {"latencyMs": whole, "latency_ms": whole}


def _named(bucket_id: str) -> dict[str, Any]:
    """Both names of an id: older clients know the second one only."""
    return {"bucketId": bucket_id, "unitId": bucket_id}


def _check(checked: Reached | None, now: int) -> dict[str, Any]:
    if checked is None:
        return {}
    return {"checked_status": checked.status, "checked_latency_ms": checked.latency_ms, "checked_at": now}


def _shown(name: str, wanted: Wanted) -> dict[str, Any]:
    """What an event tells: no secret."""
    return {"name": name, "bucket": wanted.bucket, "storageType": wanted.storage_type}


async def _record(
    connection: AsyncConnection,
    event: Event,
    bucket_id: str,
    workspace_id: str,
    user: Principal,
    now: int,
    shown: dict[str, Any],
) -> None:
    await audit.record(
        connection,
        Context.BUCKET,
        event,
        bucket_id,
        at=now,
        organisation_id=user.organisation_id,
        user=user,
        workspace_id=workspace_id,
        data=shown,
    )
