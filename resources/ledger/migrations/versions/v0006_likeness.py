"""An index by which prints near one are found without looking at all, where the server has pgvector.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The embedded server has it. Elsewhere an administrator may have to make it first; without it all prints are read.
    op.execute("""
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS vector;
  CREATE INDEX prints_near ON ledger.prints USING hnsw ((CAST(print AS bit(64))) bit_hamming_ops);
EXCEPTION WHEN undefined_file OR insufficient_privilege OR feature_not_supported OR undefined_object THEN
  RAISE NOTICE 'pictures that look alike are found without an index: %', SQLERRM;
END $$
""")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
