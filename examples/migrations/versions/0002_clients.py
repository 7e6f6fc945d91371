"""What flask_dynreg keeps: clients, initial access tokens, events.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
SURROGATE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "dynreg_client",
        sa.Column("client_id", EXACT, nullable=False),
        sa.Column("client_secret", sa.String(255), nullable=True),
        sa.Column("client_id_issued_at", sa.BigInteger(), nullable=False),
        sa.Column("client_secret_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("client_metadata", JSON, nullable=True),
        sa.Column("issuer", EXACT, nullable=True),
        sa.Column("source", sa.String(32), nullable=True),
        sa.Column("initial_access_token_id", sa.BigInteger(), nullable=True),
        sa.Column("registration_access_token", sa.String(255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("client_id", name="pk_dynreg_client"),
    )
    op.create_index("ix_dynreg_client_issuer", "dynreg_client", ["issuer"])

    op.create_table(
        "dynreg_initial_access_token",
        sa.Column("id", SURROGATE, nullable=False),
        sa.Column("digest", EXACT, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("label", sa.String(255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("max_uses", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dynreg_initial_access_token"),
    )
    op.create_index("ix_dynreg_initial_access_token_digest", "dynreg_initial_access_token", ["digest"], unique=True)
    op.create_index("ix_dynreg_initial_access_token_issuer", "dynreg_initial_access_token", ["issuer"])

    op.create_table(
        "dynreg_event",
        sa.Column("id", SURROGATE, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("client_id", EXACT, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(32), nullable=True),
        sa.Column("initial_access_token_id", sa.BigInteger(), nullable=True),
        sa.Column("details", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dynreg_event"),
    )
    op.create_index("ix_dynreg_event_issuer", "dynreg_event", ["issuer", "client_id"])


def downgrade() -> None:
    op.drop_table("dynreg_event")
    op.drop_table("dynreg_initial_access_token")
    op.drop_table("dynreg_client")
