"""All sources are taken into the search again: vectors of their texts are found there from now on.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM search.sources")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
