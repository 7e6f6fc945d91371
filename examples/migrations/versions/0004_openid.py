"""What an ID token says of the sign-in that an authorization came of.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("quickstart_authorization") as batch:
        batch.add_column(sa.Column("nonce", sa.Text(), nullable=True))
        batch.add_column(sa.Column("auth_time", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("quickstart_authorization") as batch:
        batch.drop_column("auth_time")
        batch.drop_column("nonce")
