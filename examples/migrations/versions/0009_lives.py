"""Tokens and secrets in turn, versions of metadata, chains of events, tombstones.

Revision ID: 0009
Revises: 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
JSON = sa.Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")

CLIENT: dict[str, Any] = {
    "next_registration_access_token": sa.String(255),
    "spent_registration_access_token": sa.String(255),
    "registration_access_token_expires_at": sa.BigInteger(),
    "keys_changed_at": sa.BigInteger(),
    "older_client_secrets": sa.Text(),
    "trail_head": sa.String(64),
}
EVENT: dict[str, Any] = {
    "version": sa.Integer(),
    "metadata_before": JSON,
    "previous": sa.String(64),
    "link": sa.String(64),
}


def upgrade() -> None:
    for table, columns in (("dynreg_client", CLIENT), ("dynreg_event", EVENT)):
        with op.batch_alter_table(table) as batch:
            for name, kind in columns.items():
                batch.add_column(sa.Column(name, kind, nullable=True))
    op.create_table(
        "dynreg_tombstone",
        sa.Column("client_id", EXACT, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_dynreg_tombstone"),
    )
    op.create_index("ix_dynreg_tombstone_expires_at", "dynreg_tombstone", ["expires_at"])
    op.create_table(
        "dynreg_trail_head",
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("subject", EXACT, nullable=False),
        sa.Column("link", sa.String(64), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_dynreg_trail_head"),
    )


def downgrade() -> None:
    op.drop_table("dynreg_trail_head")
    op.drop_table("dynreg_tombstone")
    for table, columns in (("dynreg_event", EVENT), ("dynreg_client", CLIENT)):
        with op.batch_alter_table(table) as batch:
            for name in columns:
                batch.drop_column(name)
