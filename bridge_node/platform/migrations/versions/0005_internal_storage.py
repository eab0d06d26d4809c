"""Cloud accounts and the storage keys made with them, hidden repositories, keys limited by names of buckets."""

import sqlalchemy as sa
from alembic import op

from bridge_node.platform.models import Document

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repositories", _flag("hidden", "false"))
    op.add_column("repository_keys", sa.Column("bucket_names", Document, nullable=True))
    op.create_table(
        "cloud_accounts",
        sa.Column("provider_key_id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Text(), nullable=False),
        _text("name"),
        _flag("active", "true"),
        _flag("shared", "false"),
        _flag("internal_storage", "false"),
        sa.Column("storage_tier", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        *(_of("cloud_accounts", table) for table in ("provider_keys", "organisations", "repositories")),
        sa.PrimaryKeyConstraint("provider_key_id", name=op.f("cloud_accounts_pk")),
    )
    op.create_index("cloud_accounts_organisation_ix", "cloud_accounts", ["organisation_id"])
    op.create_table(
        "storage_keys",
        sa.Column("repository_key_id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        *(_text(name) for name in ("name", "access_key", "description", "region", "storage_dn")),
        sa.Column("storage_tier", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        *(_of("storage_keys", table) for table in ("repository_keys", "organisations")),
        sa.PrimaryKeyConstraint("repository_key_id", name=op.f("storage_keys_pk")),
    )
    op.create_index("storage_keys_user_ix", "storage_keys", ["organisation_id", "user_id", "created_at"])


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _flag(name: str, default: str) -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean(), server_default=sa.text(f"({default})"), nullable=False)


def _of(table: str, other: str) -> sa.ForeignKeyConstraint:
    column = {"repositories": "repository_id"}.get(other, other.removesuffix("s") + "_id")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"{table}_{column}_fk"), ondelete="CASCADE")
