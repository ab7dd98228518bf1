"""Vectors of texts, by which what means the same is found, where the server has pgvector. Derived from artifacts.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Vectors of one model have one length, of different models different ones: indexes are made a model, when its first
    # vectors come in.
    op.execute("""
DO $$
BEGIN
  CREATE TABLE search.meanings (
    source text NOT NULL,
    recipe_hash text NOT NULL,
    model text NOT NULL,
    kind text NOT NULL,
    start_ms bigint,
    text text NOT NULL,
    meaning vector NOT NULL
  );
  CREATE INDEX meanings_source ON search.meanings (source);
EXCEPTION WHEN undefined_object THEN
  RAISE NOTICE 'texts are found by their words alone: %', SQLERRM;
END $$
""")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
