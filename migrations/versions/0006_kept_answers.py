"""Answers to registrations that are kept for a while; when a client was used last.

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
JSON = sa.Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "dynreg_kept_answer",
        sa.Column("digest", EXACT, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("client_id", EXACT, nullable=False),
        sa.Column("body_digest", EXACT, nullable=False),
        sa.Column("answer", JSON, nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_dynreg_kept_answer"),
    )
    op.create_index("ix_dynreg_kept_answer_client_id", "dynreg_kept_answer", ["client_id"])
    op.create_index("ix_dynreg_kept_answer_expires_at", "dynreg_kept_answer", ["expires_at"])
    with op.batch_alter_table("dynreg_client") as batch:
        batch.add_column(sa.Column("last_used_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("dynreg_client") as batch:
        batch.drop_column("last_used_at")
    op.drop_table("dynreg_kept_answer")
