"""How many clients there are of a kind for which there is a quota, which flask_dynreg keeps.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "dynreg_quota",
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("clients", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "name", name="pk_dynreg_quota"),
    )


def downgrade() -> None:
    op.drop_table("dynreg_quota")
