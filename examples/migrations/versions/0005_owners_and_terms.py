"""Owners, policies and terms, which flask_dynreg keeps.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

EXACT_TEXT = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
JSON = sa.Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")


def upgrade() -> None:
    with op.batch_alter_table("dynreg_client") as batch:
        batch.add_column(sa.Column("owned_by", EXACT_TEXT, nullable=True))
        batch.add_column(sa.Column("policies", sa.Text(), nullable=True))
        batch.add_column(sa.Column("terms", sa.Text(), nullable=True))
        batch.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("requested_metadata", JSON, nullable=True))
        batch.add_column(sa.Column("waiting_since", sa.BigInteger(), nullable=True))
    op.create_index("ix_dynreg_client_owned_by", "dynreg_client", ["owned_by"])
    op.create_index("ix_dynreg_client_waiting_since", "dynreg_client", ["waiting_since"])
    with op.batch_alter_table("dynreg_initial_access_token") as batch:
        batch.add_column(sa.Column("owner", EXACT_TEXT, nullable=True))
        batch.add_column(sa.Column("terms", sa.Text(), nullable=True))
        batch.add_column(sa.Column("last_used_at", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("revoked_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("dynreg_initial_access_token") as batch:
        for name in ("revoked_at", "last_used_at", "terms", "owner"):
            batch.drop_column(name)
    op.drop_index("ix_dynreg_client_waiting_since", table_name="dynreg_client")
    op.drop_index("ix_dynreg_client_owned_by", table_name="dynreg_client")
    with op.batch_alter_table("dynreg_client") as batch:
        for name in ("waiting_since", "requested_metadata", "expires_at", "terms", "policies", "owned_by"):
            batch.drop_column(name)
