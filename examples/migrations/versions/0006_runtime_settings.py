"""What operators set while the server runs, which flask_dynreg keeps.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "dynreg_runtime_setting",
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "name", name="pk_dynreg_runtime_setting"),
    )


def downgrade() -> None:
    op.drop_table("dynreg_runtime_setting")
