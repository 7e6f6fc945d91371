"""What the quickstart keeps itself: authorizations, tokens, used assertions.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quickstart_authorization",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("code_digest", sa.String(64), nullable=True),
        sa.Column("code_challenge", sa.String(43), nullable=True),
        sa.Column("redirect_uri", sa.Text(), nullable=True),
        sa.Column("redirect_uri_sent", sa.Boolean(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quickstart_authorization"),
    )
    with op.batch_alter_table("quickstart_authorization") as batch:
        batch.create_index("ix_quickstart_authorization_client_id", ["client_id"])
        batch.create_index("ix_quickstart_authorization_code_digest", ["code_digest"], unique=True)
        batch.create_index("ix_quickstart_authorization_expires_at", ["expires_at"])

    op.create_table(
        "quickstart_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("authorization_id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quickstart_token"),
        sa.ForeignKeyConstraint(
            ["authorization_id"],
            ["quickstart_authorization.id"],
            name="fk_quickstart_token_authorization_id",
            ondelete="CASCADE",
        ),
    )
    with op.batch_alter_table("quickstart_token") as batch:
        batch.create_index("ix_quickstart_token_authorization_id", ["authorization_id"])
        batch.create_index("ix_quickstart_token_digest", ["digest"], unique=True)
        batch.create_index("ix_quickstart_token_expires_at", ["expires_at"])

    op.create_table(
        "quickstart_used_assertion",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_quickstart_used_assertion"),
    )
    with op.batch_alter_table("quickstart_used_assertion") as batch:
        batch.create_index("ix_quickstart_used_assertion_expires_at", ["expires_at"])


def downgrade() -> None:
    op.drop_table("quickstart_used_assertion")
    op.drop_table("quickstart_token")
    op.drop_table("quickstart_authorization")
