"""Every table of the platform.

Ids are texts that grow with time (`identifiers.new_id`). Times are epoch milliseconds, except `minute`, `hour` and
`day`: epoch seconds at which they began. `sealed` columns hold what `vault` made of a secret. Rows with `deleted_at`
stay for statistics and audit, and are hidden from everybody; names are unique among the others only. An
`organisation_id` that is empty belongs to public nodes.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "%(column_0_N_label)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "pk": "%(table_name)s_pk",
    }
)

Document: TypeEngine[Any] = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Serial: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe_time(name: str) -> Column[int]:
    return Column(name, BigInteger)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _of(table: str, *, primary_key: bool = False, nullable: bool = False, name: str = "") -> Column[str]:
    """A reference to a row that takes this one along when it is deleted for good."""
    singular = {"repositories": "repository"}.get(table, table.removesuffix("s"))
    return Column(
        name or f"{singular}_id",
        ForeignKey(f"{table}.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=nullable,
    )


def _unique_among_the_living(table: Table, *columns: str) -> None:
    alive = text("deleted_at IS NULL")
    name = "_".join((table.name, *columns, "live_uq"))
    Index(name, *(table.c[column] for column in columns), unique=True, sqlite_where=alive, postgresql_where=alive)


# Who may do what

organisations = Table(
    "organisations",
    metadata,
    _id(),
    _text("name"),
    _flag("repos_disabled"),
    _flag("assigns_repositories"),  # true: a node serves what it is assigned, not everything
    _time("created_at"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _of("organisations"),
    _text("email"),
    _text("name"),
    _text("last_name"),
    Column("role", SmallInteger, nullable=False, server_default="0"),
    _time("created_at"),
    _maybe_time("deleted_at"),
    Index("users_organisation_ix", "organisation_id"),
)
_unique_among_the_living(users, "email")

workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    _of("organisations"),
    _text("name"),
    _time("created_at"),
    _maybe_time("deleted_at"),
)
_unique_among_the_living(workspaces, "organisation_id", "name")

members = Table(
    "members",
    metadata,
    _of("workspaces", primary_key=True),
    _of("users", primary_key=True),
    _text("access"),  # READ, WRITE or ADMIN
    Index("members_user_ix", "user_id"),
)

# What is stored where

provider_keys = Table(
    "provider_keys",
    metadata,
    _id(),
    _of("organisations"),
    _of("workspaces"),
    _text("provider"),
    _text("key"),
    Column("secret_sealed", LargeBinary),
    _text("endpoint"),
    _text("region"),
    _text("tenant_id"),
    _text("subscription_id"),
    _text("description"),
    _time("created_at"),
    Index("provider_keys_organisation_ix", "organisation_id", "workspace_id"),
)

buckets = Table(
    "buckets",
    metadata,
    _id(),
    _of("organisations"),
    _of("workspaces"),
    _text("name"),
    _text("bucket"),
    _text("storage_type"),  # S3, GCS, BLOB or LOCAL
    Column("provider_key_id", ForeignKey("provider_keys.id")),
    _text("key"),
    Column("secret_sealed", LargeBinary),
    _text("endpoint"),
    _text("region"),
    _text("project_id"),
    _text("wallet_address"),
    _time("created_at"),
    _maybe_time("deleted_at"),
    _text("checked_status"),  # when it was tried last: on demand, not by the nodes' own probes
    Column("checked_latency_ms", Double),
    _maybe_time("checked_at"),
    Index("buckets_organisation_ix", "organisation_id", "workspace_id"),
    Index("buckets_provider_key_ix", "provider_key_id"),
)
_unique_among_the_living(buckets, "organisation_id", "name")

repositories = Table(
    "repositories",
    metadata,
    _id(),
    _of("organisations"),
    _of("workspaces"),
    _text("name"),
    _text("storage_type"),  # what its clients speak
    _text("mode"),
    _flag("disabled"),
    _flag("hidden"),  # of a cloud account: served as any other, and addressed by nobody but its storage keys
    _text("wallet_address"),
    Column("options", Document, nullable=False, server_default="{}"),
    Column("token_key_sealed", LargeBinary, nullable=False),
    Column("previous_token_key_sealed", LargeBinary),
    _count("revision"),  # grows with every change of anything that is in the repository's document
    _time("created_at"),
    _maybe_time("deleted_at"),
    Index("repositories_workspace_ix", "organisation_id", "workspace_id"),
)
_unique_among_the_living(repositories, "organisation_id", "name")

repository_buckets = Table(
    "repository_buckets",
    metadata,
    _id(),
    _of("repositories"),
    Column("bucket_id", ForeignKey("buckets.id")),
    Column("provider_key_id", ForeignKey("provider_keys.id", ondelete="SET NULL")),  # a whole account, no bucket
    _text("folder"),
    _flag("master"),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("options", Document, nullable=False, server_default="{}"),
    _maybe_time("deleted_at"),  # kept: its last minutes still count
    Index("repository_buckets_repository_ix", "repository_id"),
    Index("repository_buckets_bucket_ix", "bucket_id"),
    Index("repository_buckets_provider_key_ix", "provider_key_id"),
)

repository_provider_keys = Table(
    "repository_provider_keys",
    metadata,
    _id(),
    _of("repositories"),
    _of("provider_keys"),
    _time("created_at"),
    Index("repository_provider_keys_uq", "repository_id", "provider_key_id", unique=True),
)

repository_keys = Table(
    "repository_keys",
    metadata,
    _id(),
    _of("organisations"),
    _of("repositories"),
    _text("name"),
    _text("access"),
    _text("key"),  # what clients send; of no two keys the same, ever
    Column("secret_sealed", LargeBinary),
    _text("public_key"),  # of GCS keys, instead of a secret
    Column("buckets", Document),  # ids of the only buckets that it opens; null: all of the repository
    Column("bucket_names", Document),  # what it opens instead, by name; `buckets` is then empty
    _time("created_at"),
    _maybe_time("last_used_at"),
    _maybe_time("deleted_at"),
    Index("repository_keys_repository_ix", "repository_id"),
    Index("repository_keys_key_uq", "key", unique=True),
)

# Internal storage

cloud_accounts = Table(
    "cloud_accounts",  # provider keys that buckets and storage keys are made with
    metadata,
    _of("provider_keys", primary_key=True),
    _of("organisations"),
    Column("user_id", Text, nullable=False),
    _of("repositories"),  # the hidden one that its storage keys belong to
    _text("name"),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _flag("shared"),
    _flag("internal_storage"),
    Column("storage_tier", Integer, nullable=False, server_default="0"),
    _time("created_at"),
    Index("cloud_accounts_organisation_ix", "organisation_id"),
)

storage_keys = Table(
    "storage_keys",  # what the storage API tells of a repository key
    metadata,
    _of("repository_keys", primary_key=True),
    _of("organisations"),
    Column("user_id", Text, nullable=False),
    _text("name"),
    _text("access_key"),
    _text("description"),
    _text("region"),
    _text("storage_dn"),
    Column("storage_tier", Integer, nullable=False, server_default="0"),
    _time("created_at"),
    Index("storage_keys_user_ix", "organisation_id", "user_id", "created_at"),
)

# Nodes

organisation_keys = Table(
    "organisation_keys",
    metadata,
    _id(),
    _of("organisations"),
    _text("public_key"),  # SubjectPublicKeyInfo PEM
    _text("thumbprint"),
    _time("created_at"),
    Index("organisation_keys_organisation_ix", "organisation_id"),
)

nodes = Table(
    "nodes",
    metadata,
    _id(),
    Column("organisation_id", Text, nullable=False, server_default=""),
    _text("ip"),  # the node's name in its organisation
    _text("region"),
    _text("version"),
    _text("status"),
    _text("provider"),
    _text("url"),
    Column("services", SmallInteger, nullable=False, server_default="1"),
    _count("config_version"),  # of the last signed answer; only grows
    _time("created_at"),
    _time("seen_at"),
    _maybe_time("unregistered_at"),
    _maybe_time("deleted_at"),
    Index("nodes_organisation_ip_uq", "organisation_id", "ip", unique=True),
)

node_key_links = Table(
    "node_key_links",
    metadata,
    _of("nodes", primary_key=True),
    _of("organisation_keys", primary_key=True),
    Index("node_key_links_organisation_key_ix", "organisation_key_id"),
)

enrolments = Table(
    "enrolments",
    metadata,
    _of("nodes", primary_key=True),
    Column("thumbprint", Text, primary_key=True),  # of `sign`: the keyid of the node's calls
    Column("sign", Document, nullable=False),
    Column("seal", Document, nullable=False),
    _time("created_at"),
    _maybe_time("approved_at"),  # null: waits for an administrator
    _maybe_time("revoked_at"),  # replaced by other keys, or deleted with its node
    Index("enrolments_thumbprint_uq", "thumbprint", unique=True),
)

platform_keys = Table(
    "platform_keys",
    metadata,
    _id(),  # the thumbprint
    Column("public", Document, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    _time("created_at"),
    _maybe_time("retired_at"),
)

assignments = Table(
    "assignments",
    metadata,
    _of("nodes", primary_key=True),
    _of("repositories", primary_key=True),
    Index("assignments_repository_ix", "repository_id"),
)

grants = Table(
    "grants",  # what a node was ever given: what it may report about
    metadata,
    _of("nodes", primary_key=True),
    _of("repositories", primary_key=True),
    _time("created_at"),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    _of("nodes"),
    _text("kind"),
    Column("repository_id", Text),
    Column("bucket_id", Text),
    Column("place_sealed", LargeBinary),  # a PlaceDocument, until the node has answered
    _time("created_at"),
    _time("expires_at"),
    _count("delivered_at"),
    _text("status"),  # empty until the node has answered
    Column("latency_ms", Double),
    _text("message"),
    Index("tasks_node_ix", "node_id"),
)

# Calls that may not come twice

nonces = Table(
    "nonces",
    metadata,
    Column("keyid", Text, primary_key=True),
    Column("nonce", Text, primary_key=True),
    _time("forget_at"),
    Index("nonces_forget_ix", "forget_at"),
)

plain_calls = Table(
    "plain_calls",
    metadata,
    Column("signature", Text, primary_key=True),  # SHA-256 of the signature's bytes
    _text("route"),
    _text("body_digest"),
    Column("status", SmallInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    _time("forget_at"),
    Index("plain_calls_forget_ix", "forget_at"),
)

batches = Table(
    "batches",
    metadata,
    _of("nodes", primary_key=True),
    Column("batch_id", Text, primary_key=True),
    _time("received_at"),
    Index("batches_received_ix", "received_at"),
)

# Statistics. No foreign keys: rows come by the thousand, checked before they are written

node_buckets = Table(
    "node_buckets",  # the newest of node_status_minutes
    metadata,
    Column("bucket_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    _text("status"),
    Column("latency_ms", Double),
    _time("reported_at"),
    postgresql_with={"fillfactor": 70},  # most updates then stay in their page
)

node_status_minutes = Table(
    "node_status_minutes",
    metadata,
    Column("bucket_id", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", Text, primary_key=True),
    _text("status"),
    Column("latency_ms", Double),
    Index("node_status_minutes_node_ix", "node_id", "minute"),
)


def _status_rollup(name: str, time: str) -> Table:
    return Table(
        name,
        metadata,
        Column("bucket_id", Text, primary_key=True),
        Column(time, BigInteger, primary_key=True, autoincrement=False),
        Column("node_id", Text, primary_key=True),
        _count("samples"),  # minutes with a report
        _count("online"),  # of them
        _count("timed"),  # of those that were online: with a latency
        Column("latency_ms", Double, nullable=False, server_default="0"),  # their sum
        _count("last_minute"),
        _text("last_status"),
        Column("last_latency_ms", Double),
        Index(f"{name}_node_ix", "node_id", time),
        postgresql_with={"fillfactor": 70},
    )


node_status_hours = _status_rollup("node_status_hours", "hour")
node_status_days = _status_rollup("node_status_days", "day")


def _usage(name: str, time: str, **options: Any) -> Table:
    return Table(
        name,
        metadata,
        Column("repository_id", Text, primary_key=True),
        Column(time, BigInteger, primary_key=True, autoincrement=False),
        Column("bucket_id", Text, primary_key=True),
        Column("key_id", Text, primary_key=True),
        Column("node_id", Text, primary_key=True),
        Column("protocol", Text, primary_key=True),
        Column("host", Text, primary_key=True),
        _count("requests"),
        _count("errors"),
        _count("upload_bytes"),
        _count("download_bytes"),
        _count("size_change"),
        _count("latency_ms"),  # a sum
        _flag("estimated"),
        Index(f"{name}_bucket_ix", "bucket_id", time),
        Index(f"{name}_node_ix", "node_id", time),
        **options,
    )


usage_minutes = _usage("usage_minutes", "minute")
usage_hours = _usage("usage_hours", "hour", postgresql_with={"fillfactor": 70})
usage_days = _usage("usage_days", "day", postgresql_with={"fillfactor": 70})

# What hours and days do not tell yet: see store/rollups

unrolled_nodes = Table(
    "unrolled_nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    _time("since"),
    Index("unrolled_nodes_since_ix", "since"),
)

unrolled_hours = Table(
    "unrolled_hours",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
)

# What happened

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("organisation_id", Text, nullable=False, server_default=""),
    _time("at"),
    Column("context", SmallInteger, nullable=False),
    _text("context_id"),
    Column("event", SmallInteger, nullable=False),
    _text("user_id"),
    _text("user_name"),
    _text("user_email"),
    Column("workspace_id", Text),
    Column("data", Document),
    Index("audit_events_organisation_ix", "organisation_id", "id"),
)

event_reads = Table(
    "event_reads",
    metadata,
    _of("users", primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
)

changes = Table(
    "changes",  # a number for each topic, one higher after each change: see wakeups
    metadata,
    Column("topic", Text, primary_key=True),
    _count("number"),
)
