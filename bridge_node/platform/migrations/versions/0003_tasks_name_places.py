"""Tasks may name a place that is in no document; buckets remember when they were tried."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("place_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("buckets", sa.Column("checked_status", sa.Text(), server_default="", nullable=False))
    op.add_column("buckets", sa.Column("checked_latency_ms", sa.Double(), nullable=True))
    op.add_column("buckets", sa.Column("checked_at", sa.BigInteger(), nullable=True))
