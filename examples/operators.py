"""What the two examples of operators have in common: who they are, what each may do, and an app with which clients register.

flask --app examples/operators_flask_login.py run
curl -c jar -d name=ann -d password=password http://127.0.0.1:5000/sign-in
curl -b jar http://127.0.0.1:5000/oauth2/operators/waiting
flask --app examples/operators_flask_login.py dynreg clients list --as bob
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import check_password_hash, generate_password_hash

from flask_dynreg import DynamicRegistration, Permission

PASSWORDS = dict.fromkeys(("ann", "bob"), generate_password_hash("password"))
MAY = {"ann": frozenset(Permission), "bob": frozenset({"clients:read", "clients:approve"})}


def new_app(db: SQLAlchemy, dynreg: DynamicRegistration, sign_in: Callable[[str], object], **config: Any) -> Flask:
    """`sign_in(name)` is called for somebody who knows the password."""
    app = Flask("operators", instance_path=os.environ.get("FLASK_INSTANCE_PATH"))
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    issuer = f"http://127.0.0.1:{os.environ.get('FLASK_RUN_PORT', '5000')}"
    app.config.from_mapping(
        SECRET_KEY=secrets.token_bytes(),  # for a server of yours it has to stay the same
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI="sqlite:///operators.sqlite",
        DYNREG_ACCESS=["open"],
        DYNREG_POLICIES=["mcp", "approval"],
        DYNREG_OPERATORS_API=True,
        DYNREG_SERVER_METADATA={
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        },
    )
    app.config.from_mapping(config)

    @app.post("/sign-in")
    def signed_in() -> Response:
        name = request.form.get("name", "")
        knows = check_password_hash(PASSWORDS.get(name, PASSWORDS["ann"]), request.form.get("password", ""))
        if not knows or name not in MAY:  # it takes as long for a name that nobody has
            abort(403)
        sign_in(name)
        return Response(status=204)

    db.init_app(app)
    dynreg.init_app(app)
    with app.app_context():
        db.create_all()
    return app
