"""The time of registration access tokens: when they end, and when they do not."""

from typing import Any

from sqlalchemy import text

from tests.conformance.exchange import PUBLIC, Client, registered
from tests.conftest import MakeApp
from tests.protocol.test_rotation import TOKEN, Server, everything_of, token_of

LIFETIME = {"DYNREG_REGISTRATION_TOKEN_LIFETIME": 100}


def test_a_token_ends_after_its_lifetime(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "never", any_database_url, DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    client = registered(server.http, **PUBLIC)
    assert server.row(client).registration_access_token_expires_at == 1_000_100
    server.now += 99
    assert server.read(client, client[TOKEN]).status_code == 200
    server.now += 1
    unknown = everything_of(server.read(client, "dynreg_rat_" + "x" * 49))
    for _ in range(2):
        assert everything_of(server.read(client, client[TOKEN])) == unknown
    assert server.events() == ["registered", "spent_token_used"]


def test_one_that_is_over_is_known_after_another_has_come(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    for was_used in (False, True):
        client = registered(server.http, **PUBLIC)
        server.now += 100
        before = server.events().count("spent_token_used")
        assert not was_used or server.read(client, client[TOKEN]).status_code == 401
        with server.app.app_context():
            server.dynreg.reissue_registration_access_token(client["client_id"])
            server.db.session.commit()
        for _ in range(2):
            assert server.read(client, client[TOKEN]).status_code == 401
        assert server.events().count("spent_token_used") == before + 1


def decide(server: Server, decision: str, client: Client, **options: Any) -> None:
    with server.app.app_context():
        getattr(server.dynreg, f"{decision}_client")(client["client_id"], "fine", **options)
        server.db.session.commit()


def test_the_token_of_one_who_waits_does_not_end_while_it_is_suspended(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_REGISTRATION_TOKEN_LIFETIME=100, DYNREG_POLICIES=["approval"])
    client = registered(server.http, **PUBLIC)
    server.now += 100
    with server.app.app_context():
        # As all clients of an issuer of software statements are that is withdrawn.
        server.db.session.execute(text("UPDATE dynreg_client SET status = 'suspended'"))
        server.db.session.commit()
    assert server.read(client, client[TOKEN]).status_code == 200
    decide(server, "resume", client)
    assert server.read(client, client[TOKEN]).status_code == 200
    decide(server, "approve", client, version=2)
    server.now += 99
    assert server.read(client, client[TOKEN]).status_code == 200
    server.now += 1
    assert server.read(client, client[TOKEN]).status_code == 401


def test_a_token_does_not_end_while_its_client_is_suspended(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "update", any_database_url, DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    client = registered(server.http, **PUBLIC)
    server.now += 60
    decide(server, "suspend", client)
    server.now += 1000
    assert server.update(client, client[TOKEN]).status_code == 403
    assert token_of(server.read(client, client[TOKEN])) == client[TOKEN]
    decide(server, "resume", client)
    server.now += 99
    assert server.read(client, client[TOKEN]).status_code == 200
    server.now += 1
    assert server.read(client, client[TOKEN]).status_code == 401


def test_nor_does_one_that_it_got_or_used_first_while_it_is_suspended(make_app: MakeApp) -> None:
    server = Server(make_app, "update", DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    rotated, reissued = (registered(server.http, **PUBLIC) for _ in range(2))
    token = token_of(server.update(rotated, rotated[TOKEN]))
    for client in (rotated, reissued):
        decide(server, "suspend", client)
    with server.app.app_context():
        other = server.dynreg.reissue_registration_access_token(reissued["client_id"])
        server.db.session.commit()
    assert token_of(server.read(rotated, token)) == token
    server.now += 100
    for client, good in ((rotated, token), (reissued, other)):
        assert server.read(client, good).status_code == 200
        decide(server, "resume", client)
        assert server.read(client, good).status_code == 200
    server.now += 100
    assert [server.read(*each).status_code for each in ((rotated, token), (reissued, other))] == [401, 401]


def test_a_token_that_is_over_stays_so_when_its_client_is_suspended_or_resumed(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    client = registered(server.http, **PUBLIC)
    server.now += 100
    for decision in ("suspend", "resume"):
        decide(server, decision, client)
        with server.app.app_context():
            assert not server.dynreg.registrar.is_live(server.row(client), client[TOKEN])
    assert server.read(client, client[TOKEN]).status_code == 401
    assert server.events() == ["registered", "suspended", "resumed", "spent_token_used"]


def test_no_token_ends_while_there_is_no_lifetime(make_app: MakeApp, sqlite_url: str) -> None:
    """The way out for clients of which too many were shut out. What has ended is over again once there is one again."""
    kept, rotated = (registered(Server(make_app, "never", sqlite_url, **LIFETIME).http, **PUBLIC) for _ in range(2))
    server = Server(make_app, "update", sqlite_url)
    server.now += 100
    token = token_of(server.update(rotated, rotated[TOKEN]))
    for client, good in ((kept, kept[TOKEN]), (rotated, token)):
        assert token_of(server.read(client, good)) == good
    assert server.events() == ["registered", "registered", "updated"]
    server = Server(make_app, "never", sqlite_url, **LIFETIME)
    server.now += 1000
    assert server.read(kept, kept[TOKEN]).status_code == 401
    assert server.read(rotated, token).status_code == 200


def test_one_that_was_rotated_lives_from_its_first_use(make_app: MakeApp) -> None:
    server = Server(make_app, "update", DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    client = registered(server.http, **PUBLIC)
    second = token_of(server.update(client, client[TOKEN]))
    server.now += 1000
    assert token_of(server.read(client, client[TOKEN])) == client[TOKEN]  # it may not have the next one
    assert token_of(server.read(client, second)) == second
    assert server.read(client, client[TOKEN]).status_code == 401
    server.now += 99
    third = token_of(server.update(client, second))
    assert token_of(server.read(client, third)) == third
    server.now += 99
    assert server.read(client, third).status_code == 200
    server.now += 1
    assert server.read(client, third).status_code == 401


def test_a_dead_token_commits_nothing_that_the_host_has_begun(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, "update", sqlite_url)
    client = registered(server.http, **PUBLIC)
    assert server.read(client, token_of(server.update(client, client[TOKEN]))).status_code == 200

    def begin() -> None:
        server.db.session.execute(text("UPDATE dynreg_client SET status_reason = 'begun'"))

    server.app.before_request_funcs.setdefault(None, []).append(begin)
    assert server.read(client, client[TOKEN]).status_code == 401
    assert server.row(client).status_reason is None


def test_without_a_lifetime_a_new_client_has_no_columns_of_this(make_app: MakeApp) -> None:
    server = Server(make_app, "read")
    row = server.row(registered(server.http, **PUBLIC))
    assert row.registration_access_token_expires_at is row.next_registration_access_token is None
