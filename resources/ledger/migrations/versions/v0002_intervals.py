"""When the workers of an attempt ran, to the millisecond: what lies between is what surrounds the media work.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE ledger.attempt_ends ADD COLUMN intervals JSONB NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
