"""Software statements: trusted issuers, what was used, and what clients are found by.

Revision ID: 0002
Revises: 0001
"""

import json

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
EXACT_TEXT = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
SURROGATE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")
BATCH = 500


def upgrade() -> None:
    op.drop_index("ix_dynreg_client_issuer", table_name="dynreg_client")
    with op.batch_alter_table("dynreg_client") as batch:
        batch.add_column(sa.Column("status", sa.String(16), server_default="active", nullable=False))
        batch.add_column(sa.Column("status_reason", sa.String(255), nullable=True))
        batch.add_column(sa.Column("software_id", EXACT_TEXT, nullable=True))
        batch.add_column(sa.Column("statement_issuer", EXACT, nullable=True))
        batch.add_column(sa.Column("name_skeleton", EXACT_TEXT, nullable=True))
    if not context.is_offline_mode():
        fill_software_id()
    op.create_index("ix_dynreg_client_issuer", "dynreg_client", ["issuer", "software_id"])
    op.create_index("ix_dynreg_client_statement_issuer", "dynreg_client", ["statement_issuer"])
    op.create_index("ix_dynreg_client_name_skeleton", "dynreg_client", ["name_skeleton"])

    op.create_table(
        "dynreg_statement_issuer",
        sa.Column("id", SURROGATE, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("statement_issuer", EXACT, nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dynreg_statement_issuer"),
    )
    op.create_index(
        "ix_dynreg_statement_issuer_issuer", "dynreg_statement_issuer", ["issuer", "statement_issuer"], unique=True
    )

    op.create_table(
        "dynreg_used_statement",
        sa.Column("digest", EXACT, nullable=False),
        sa.Column("issuer", EXACT, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_dynreg_used_statement"),
    )
    op.create_index("ix_dynreg_used_statement_expires_at", "dynreg_used_statement", ["expires_at"])


def fill_software_id() -> None:
    """What the metadata of the clients that are there say."""
    client = sa.table("dynreg_client", sa.column("client_id"), sa.column("client_metadata"), sa.column("software_id"))
    connection, last = op.get_bind(), ""
    while True:
        rows = connection.execute(
            sa.select(client.c.client_id, client.c.client_metadata)
            .where(client.c.client_id > last, client.c.client_metadata.like('%"software_id":%'))
            .order_by(client.c.client_id)
            .limit(BATCH)
        ).all()
        for client_id, metadata in rows:
            value = json.loads(metadata).get("software_id")
            this = client.c.client_id == client_id
            connection.execute(sa.update(client).where(this).values(software_id=value))
        if len(rows) < BATCH:
            return
        last = rows[-1].client_id


def downgrade() -> None:
    op.drop_table("dynreg_used_statement")
    op.drop_table("dynreg_statement_issuer")
    for name in ("name_skeleton", "statement_issuer", "issuer"):
        op.drop_index(f"ix_dynreg_client_{name}", table_name="dynreg_client")
    with op.batch_alter_table("dynreg_client") as batch:
        for name in ("name_skeleton", "statement_issuer", "software_id", "status_reason", "status"):
            batch.drop_column(name)
    op.create_index("ix_dynreg_client_issuer", "dynreg_client", ["issuer"])
