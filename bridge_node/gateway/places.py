"""Where a bucket's name on the wire leads: an attached bucket, else one of the repository's whole accounts.

Of several accounts the first in order that has the bucket counts. Where it was found is remembered for a minute, so
that other workers and nodes, which ask for themselves, soon agree again after a bucket moved.
"""

from time import monotonic
from typing import NamedTuple, Protocol

from bridge_node.backends.base import Backend
from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, Repository
from bridge_node.errors import BucketOwnedByCaller, NoSuchBucket
from bridge_node.gateway.authorization import may_see
from bridge_node.gateway.http import Clock
from bridge_node.objects import BucketInfo

_REMEMBERED_SECONDS = 60.0
_REMEMBERED_BUCKETS = 10_000


class Pool(Protocol):
    """Where backends come from; equal specs give the same one."""

    def get(self, spec: BackendSpec) -> Backend: ...


class Place(NamedTuple):
    """One bucket at one backend. `name` is the operator's label of the backend, `bucket` its own name there."""

    backend: Backend
    name: str
    bucket: str


class Places:
    """Finds backends for names; `clock` counts seconds from anywhere."""

    def __init__(self, pool: Pool, clock: Clock = monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._found: dict[tuple[str, str], tuple[AccountAttachment, float]] = {}

    def at_hand(self, repository: Repository, bucket: str) -> Place | None:
        """Where an attached bucket lies, or any name where there is one account; None for what must be searched."""
        attachment = repository.attached(bucket)
        if attachment is not None:
            return Place(self._pool.get(attachment.backend), attachment.backend.name, attachment.bucket)
        if len(repository.accounts) == 1:
            return self._within(repository.accounts[0], bucket)
        return None

    async def search(self, repository: Repository, bucket: str) -> Place:
        """Raises NoSuchBucket where no account of several has the bucket."""
        return self._within(await self._search(repository, bucket), bucket)

    async def of_source(self, repository: Repository, bucket: str, target: Place) -> Place:
        """Where a copy's source lies; one that is not attached at all lies where the target does."""
        place = self.at_hand(repository, bucket)
        if place is None and repository.accounts:
            place = await self.search(repository, bucket)
        return place or Place(target.backend, target.name, bucket)

    async def all(self, key: AccessKey, repository: Repository) -> list[BucketInfo]:
        """Every bucket that `key` may see, by name: each once, under the name that leads to it."""
        buckets: dict[str, BucketInfo] = {}
        for attachment in repository.buckets:
            name = next((n for n in (attachment.bucket, attachment.folder) if repository.attached(n) is attachment), "")
            if name:
                buckets[name] = BucketInfo(name)
        for account in repository.accounts:
            for info in await self._pool.get(account.backend).list_buckets():
                if repository.attached(info.name) is None:
                    buckets.setdefault(info.name, info)
        return [buckets[name] for name in sorted(buckets) if may_see(key, repository, name)]

    async def create(self, repository: Repository, bucket: str) -> None:
        """Makes a bucket in the first account; raises BucketOwnedByCaller when any account has it."""
        if len(repository.accounts) > 1 and await self._holder(repository, bucket) is not None:
            raise BucketOwnedByCaller(BucketName=bucket)
        first = repository.accounts[0]
        await self._pool.get(first.backend).create_bucket(bucket)

    def forget(self, repository: Repository, bucket: str) -> None:
        """The bucket turned out not to be where it was found."""
        self._found.pop((repository.id, bucket), None)

    def _within(self, account: AccountAttachment, bucket: str) -> Place:
        return Place(self._pool.get(account.backend), account.backend.name, bucket)

    async def _search(self, repository: Repository, bucket: str) -> AccountAttachment:
        name = (repository.id, bucket)
        known, until = self._found.get(name, (None, 0.0))
        if known in repository.accounts and known is not None and until > self._clock():
            return known
        holder = await self._holder(repository, bucket)
        if holder is None:
            raise NoSuchBucket(BucketName=bucket)
        if len(self._found) >= _REMEMBERED_BUCKETS:
            self._found.clear()
        self._found[name] = (holder, self._clock() + _REMEMBERED_SECONDS)
        return holder

    async def _holder(self, repository: Repository, bucket: str) -> AccountAttachment | None:
        for account in repository.accounts:
            try:
                await self._pool.get(account.backend).head_bucket(bucket)
            except NoSuchBucket:
                continue
            return account
        return None
