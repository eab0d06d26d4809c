"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ALIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("organisation_id", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("context", sa.SmallInteger(), nullable=False),
        sa.Column("context_id", sa.Text(), server_default="", nullable=False),
        sa.Column("event", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), server_default="", nullable=False),
        sa.Column("user_name", sa.Text(), server_default="", nullable=False),
        sa.Column("user_email", sa.Text(), server_default="", nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=True),
        sa.Column("data", DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_events_pk")),
    )
    op.create_index("audit_events_organisation_ix", "audit_events", ["organisation_id", "id"])

    op.create_table(
        "changes",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("changes_pk")),
    )
    op.create_table(
        "node_buckets",
        sa.Column("bucket_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket_id", "node_id", name=op.f("node_buckets_pk")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "node_status_minutes",
        sa.Column("bucket_id", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("bucket_id", "minute", "node_id", name=op.f("node_status_minutes_pk")),
    )
    op.create_index("node_status_minutes_minute_ix", "node_status_minutes", ["minute"])

    op.create_table(
        "nodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), server_default="", nullable=False),
        sa.Column("ip", sa.Text(), server_default="", nullable=False),
        sa.Column("region", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("services", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("config_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("unregistered_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("nodes_pk")),
    )
    op.create_index("nodes_organisation_ip_uq", "nodes", ["organisation_id", "ip"], unique=True)

    op.create_table(
        "nonces",
        sa.Column("keyid", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("forget_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("keyid", "nonce", name=op.f("nonces_pk")),
    )
    op.create_index("nonces_forget_ix", "nonces", ["forget_at"])

    op.create_table(
        "organisations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("repos_disabled", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("assigns_repositories", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("organisations_pk")),
    )
    op.create_table(
        "plain_calls",
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), server_default="", nullable=False),
        sa.Column("body_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("forget_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("signature", name=op.f("plain_calls_pk")),
    )
    op.create_index("plain_calls_forget_ix", "plain_calls", ["forget_at"])

    op.create_table(
        "platform_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("public", DOCUMENT, nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("platform_keys_pk")),
    )
    op.create_table(
        "usage_minutes",
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("errors", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("upload_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("download_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size_change", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint(
            "repository_id",
            "minute",
            "bucket_id",
            "key_id",
            "node_id",
            "protocol",
            "host",
            name=op.f("usage_minutes_pk"),
        ),
    )
    op.create_index("usage_minutes_bucket_ix", "usage_minutes", ["bucket_id", "minute"])
    op.create_index("usage_minutes_minute_ix", "usage_minutes", ["minute"])

    op.create_table(
        "batches",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("batches_node_id_fk"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id", "batch_id", name=op.f("batches_pk")),
    )
    op.create_index("batches_received_ix", "batches", ["received_at"])

    op.create_table(
        "enrolments",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("sign", DOCUMENT, nullable=False),
        sa.Column("seal", DOCUMENT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("enrolments_node_id_fk"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id", "thumbprint", name=op.f("enrolments_pk")),
    )
    op.create_index("enrolments_thumbprint_uq", "enrolments", ["thumbprint"], unique=True)

    op.create_table(
        "organisation_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), server_default="", nullable=False),
        sa.Column("thumbprint", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("organisation_keys_organisation_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("organisation_keys_pk")),
    )
    op.create_index("organisation_keys_organisation_ix", "organisation_keys", ["organisation_id"])

    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=True),
        sa.Column("bucket_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("tasks_node_id_fk"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_pk")),
    )
    op.create_index("tasks_node_ix", "tasks", ["node_id"])

    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("users_organisation_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pk")),
    )
    op.create_index("users_email_live_uq", "users", ["email"], unique=True, sqlite_where=ALIVE, postgresql_where=ALIVE)
    op.create_index("users_organisation_ix", "users", ["organisation_id"])

    op.create_table(
        "workspaces",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("workspaces_organisation_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("workspaces_pk")),
    )
    op.create_index(
        "workspaces_organisation_id_name_live_uq",
        "workspaces",
        ["organisation_id", "name"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )

    op.create_table(
        "members",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("members_user_id_fk"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("members_workspace_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name=op.f("members_pk")),
    )
    op.create_index("members_user_ix", "members", ["user_id"])

    op.create_table(
        "node_key_links",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("organisation_key_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("node_key_links_node_id_fk"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["organisation_key_id"],
            ["organisation_keys.id"],
            name=op.f("node_key_links_organisation_key_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_id", "organisation_key_id", name=op.f("node_key_links_pk")),
    )
    op.create_index("node_key_links_organisation_key_ix", "node_key_links", ["organisation_key_id"])

    op.create_table(
        "provider_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("endpoint", sa.Text(), server_default="", nullable=False),
        sa.Column("region", sa.Text(), server_default="", nullable=False),
        sa.Column("tenant_id", sa.Text(), server_default="", nullable=False),
        sa.Column("subscription_id", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("provider_keys_organisation_id_fk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("provider_keys_workspace_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("provider_keys_pk")),
    )
    op.create_index("provider_keys_organisation_ix", "provider_keys", ["organisation_id", "workspace_id"])

    op.create_table(
        "repositories",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("storage_type", sa.Text(), server_default="", nullable=False),
        sa.Column("mode", sa.Text(), server_default="", nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("wallet_address", sa.Text(), server_default="", nullable=False),
        sa.Column("options", DOCUMENT, server_default="{}", nullable=False),
        sa.Column("token_key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("previous_token_key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("repositories_organisation_id_fk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("repositories_workspace_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("repositories_pk")),
    )
    op.create_index(
        "repositories_organisation_id_name_live_uq",
        "repositories",
        ["organisation_id", "name"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    op.create_index("repositories_workspace_ix", "repositories", ["organisation_id", "workspace_id"])

    op.create_table(
        "assignments",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("assignments_node_id_fk"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("assignments_repository_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "repository_id", name=op.f("assignments_pk")),
    )
    op.create_index("assignments_repository_ix", "assignments", ["repository_id"])

    op.create_table(
        "buckets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("bucket", sa.Text(), server_default="", nullable=False),
        sa.Column("storage_type", sa.Text(), server_default="", nullable=False),
        sa.Column("provider_key_id", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("endpoint", sa.Text(), server_default="", nullable=False),
        sa.Column("region", sa.Text(), server_default="", nullable=False),
        sa.Column("project_id", sa.Text(), server_default="", nullable=False),
        sa.Column("wallet_address", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("buckets_organisation_id_fk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["provider_key_id"], ["provider_keys.id"], name=op.f("buckets_provider_key_id_fk")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("buckets_workspace_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("buckets_pk")),
    )
    op.create_index(
        "buckets_organisation_id_name_live_uq",
        "buckets",
        ["organisation_id", "name"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    op.create_index("buckets_organisation_ix", "buckets", ["organisation_id", "workspace_id"])
    op.create_index("buckets_provider_key_ix", "buckets", ["provider_key_id"])

    op.create_table(
        "grants",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("grants_node_id_fk"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("grants_repository_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "repository_id", name=op.f("grants_pk")),
    )
    op.create_table(
        "repository_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("access", sa.Text(), server_default="", nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("public_key", sa.Text(), server_default="", nullable=False),
        sa.Column("buckets", DOCUMENT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("repository_keys_organisation_id_fk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("repository_keys_repository_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("repository_keys_pk")),
    )
    op.create_index("repository_keys_key_uq", "repository_keys", ["key"], unique=True)
    op.create_index("repository_keys_repository_ix", "repository_keys", ["repository_id"])

    op.create_table(
        "repository_provider_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column("provider_key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_key_id"],
            ["provider_keys.id"],
            name=op.f("repository_provider_keys_provider_key_id_fk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("repository_provider_keys_repository_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("repository_provider_keys_pk")),
    )
    op.create_index(
        "repository_provider_keys_uq", "repository_provider_keys", ["repository_id", "provider_key_id"], unique=True
    )

    op.create_table(
        "repository_buckets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column("bucket_id", sa.Text(), nullable=True),
        sa.Column("provider_key_id", sa.Text(), nullable=True),
        sa.Column("folder", sa.Text(), server_default="", nullable=False),
        sa.Column("master", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("options", DOCUMENT, server_default="{}", nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["bucket_id"], ["buckets.id"], name=op.f("repository_buckets_bucket_id_fk")),
        sa.ForeignKeyConstraint(
            ["provider_key_id"],
            ["provider_keys.id"],
            name=op.f("repository_buckets_provider_key_id_fk"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("repository_buckets_repository_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("repository_buckets_pk")),
    )
    op.create_index("repository_buckets_bucket_ix", "repository_buckets", ["bucket_id"])
    op.create_index("repository_buckets_provider_key_ix", "repository_buckets", ["provider_key_id"])
    op.create_index("repository_buckets_repository_ix", "repository_buckets", ["repository_id"])
