"""Hours and days of statistics, and what they do not tell yet. Minutes are found by node."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MINUTES = ("node_status_minutes", "usage_minutes")


def upgrade() -> None:
    for name in MINUTES:
        op.create_index(f"{name}_node_ix", name, ["node_id", "minute"])
        op.drop_index(f"{name}_minute_ix", name)
    for name, time in (("node_status_hours", "hour"), ("node_status_days", "day")):
        _status(name, time)
    for name, time in (("usage_hours", "hour"), ("usage_days", "day")):
        _usage(name, time)
    op.create_table(
        "unrolled_nodes",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("unrolled_nodes_pk")),
    )
    op.create_index("unrolled_nodes_since_ix", "unrolled_nodes", ["since"])
    op.create_table(
        "unrolled_hours",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "hour", name=op.f("unrolled_hours_pk")),
    )
    _everything_is_unrolled()


def _status(name: str, time: str) -> None:
    op.create_table(
        name,
        sa.Column("bucket_id", sa.Text(), nullable=False),
        sa.Column(time, sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        *(_count(column) for column in ("samples", "online", "timed")),
        sa.Column("latency_ms", sa.Double(), server_default="0", nullable=False),
        _count("last_minute"),
        sa.Column("last_status", sa.Text(), server_default="", nullable=False),
        sa.Column("last_latency_ms", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("bucket_id", time, "node_id", name=op.f(f"{name}_pk")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(f"{name}_node_ix", name, ["node_id", time])


def _usage(name: str, time: str) -> None:
    others = ("bucket_id", "key_id", "node_id", "protocol", "host")
    sums = ("requests", "errors", "upload_bytes", "download_bytes", "size_change", "latency_ms")
    op.create_table(
        name,
        sa.Column("repository_id", sa.Text(), nullable=False),
        sa.Column(time, sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(column, sa.Text(), nullable=False) for column in others),
        *(_count(column) for column in sums),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", time, *others, name=op.f(f"{name}_pk")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(f"{name}_bucket_ix", name, ["bucket_id", time])
    op.create_index(f"{name}_node_ix", name, ["node_id", time])


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _everything_is_unrolled() -> None:
    """So that the first roll-up takes up what there is."""
    op.execute(
        "INSERT INTO unrolled_hours (node_id, hour) "
        "SELECT node_id, minute - minute % 3600 FROM usage_minutes "
        "UNION SELECT node_id, minute - minute % 3600 FROM node_status_minutes"
    )
    op.execute("INSERT INTO unrolled_nodes (node_id, since) SELECT DISTINCT node_id, 0 FROM unrolled_hours")
