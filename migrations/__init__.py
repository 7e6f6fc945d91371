"""The Alembic history of the default models; installed as flask_dynreg.migrations."""
