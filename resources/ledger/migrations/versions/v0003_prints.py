"""Perceptual hashes of pictures, to be asked which sources look alike. Made again from artifacts whenever it is empty.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE TABLE ledger.prints (
  artifact TEXT NOT NULL,
  position INTEGER NOT NULL,
  start_ms BIGINT,
  end_ms BIGINT,
  print BIGINT NOT NULL,
  PRIMARY KEY (artifact, position)
)
""")
    op.execute("CREATE TABLE ledger.printed (artifact TEXT NOT NULL PRIMARY KEY)")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
