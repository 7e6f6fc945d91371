"""The commands: `flask dynreg`."""

from flask.cli import AppGroup

from flask_dynreg.operations import (
    audit,
    clients,
    doctor,
    explaining,
    issuers,
    migrations,
    registration,
    repair,
    secrets,
    statements,
    tokens,
)

group = AppGroup("dynreg", help="Dynamic client registration.")
for command in (repair.migrate, repair.revalidate):
    clients.clients.add_command(command)
for command in (
    migrations.db,
    registration.registration,
    clients.clients,
    secrets.secrets,
    issuers.issuer,
    statements.statement,
    audit.audit,
    doctor.doctor,
    explaining.explain,
    tokens.issue_token,
    tokens.tokens,
    tokens.revoke_token,
):
    group.add_command(command)
