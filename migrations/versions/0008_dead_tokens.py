"""More than one dead registration access token of a client is known.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "spent_registration_access_token"
DIGEST = 71
"""Characters of a digest: the first one is that of the token that died last."""


def upgrade() -> None:
    with op.batch_alter_table("dynreg_client") as batch:
        batch.alter_column(NAME, existing_type=sa.String(255), type_=sa.Text(), existing_nullable=True)


def downgrade() -> None:
    column: sa.ColumnClause[str] = sa.column(NAME, sa.Text())
    known = sa.update(sa.table("dynreg_client", column)).where(column.is_not(None))
    op.execute(known.values({column: sa.func.substr(column, 1, DIGEST)}))
    with op.batch_alter_table("dynreg_client") as batch:
        batch.alter_column(NAME, existing_type=sa.Text(), type_=sa.String(255), existing_nullable=True)
