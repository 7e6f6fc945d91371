"""`ETag` tells the version of a registration, and `If-Match` changes that version or nothing (RFC 9110 section 13)."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conformance.exchange import PUBLIC, Client, bearer, read, registered
from tests.conftest import MakeApp


def put(http: FlaskClient, client: Client, if_match: str | None, **metadata: Any) -> TestResponse:
    headers = bearer(client["registration_access_token"]) | ({} if if_match is None else {"If-Match": if_match})
    sent = {**PUBLIC, "client_id": client["client_id"], **metadata}
    return http.put(client["registration_client_uri"], json=sent, headers=headers)


def name(http: FlaskClient, client: Client) -> str | None:
    found: str | None = read(http, client).get_json().get("client_name")
    return found


def test_a_read_and_an_update_tell_the_version(http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    first = read(http, client).headers["ETag"]
    assert first == read(http, client).headers["ETag"] and first.startswith('"')
    second = put(http, client, first, client_name="One").headers["ETag"]
    assert second == read(http, client).headers["ETag"] != first


def test_who_has_read_another_version_changes_nothing(http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    tag = read(http, client).headers["ETag"]
    assert put(http, client, tag, client_name="One").status_code == 200
    answer = put(http, client, tag, client_name="Two")
    assert (answer.status_code, answer.get_json()["error"]) == (412, "invalid_request")
    assert "If-Match" in answer.get_json()["error_description"] and name(http, client) == "One"
    headers = bearer(client["registration_access_token"]) | {"If-Match": tag}
    assert http.delete(client["registration_client_uri"], headers=headers).status_code == 412
    headers["If-Match"] = read(http, client).headers["ETag"]
    assert http.delete(client["registration_client_uri"], headers=headers).status_code == 204


@pytest.mark.parametrize(
    ("if_match", "status"),
    [("*", 200), ('"x", {tag}', 200), ("{tag}", 200), ('"x"', 412), ("W/{tag}", 412), ('""', 412), (None, 200)],
)
def test_it_is_one_of_several_or_any_and_weak_ones_never_match(
    http: FlaskClient, if_match: str | None, status: int
) -> None:
    client = registered(http, **PUBLIC)
    tag = read(http, client).headers["ETag"]
    answer = put(http, client, if_match and if_match.format(tag=tag), client_name="One")
    assert answer.status_code == status


@pytest.mark.parametrize("if_match", ['"1', '"', "foo bar", '"1" "9"', " ,", ",", "", "2 2", '"2', '"2" "9"', "*, *"])
def test_one_that_is_malformed_is_not_taken_for_none(http: FlaskClient, if_match: str) -> None:
    client = registered(http, **PUBLIC)
    assert put(http, client, None, client_name="One").headers["ETag"] == '"2"'
    answer = put(http, client, if_match, client_name="Two")
    assert (answer.status_code, name(http, client)) == (412, "One")
    headers = bearer(client["registration_access_token"]) | {"If-Match": if_match}
    assert http.delete(client["registration_client_uri"], headers=headers).status_code == 412


def test_a_stranger_learns_nothing_by_it(http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    for other in (client, client | {"registration_client_uri": client["registration_client_uri"][:-1]}):
        answer = put(http, {**other, "registration_access_token": "dynreg_rat_x"}, '"1"')
        assert answer.status_code == 401 and "ETag" not in answer.headers


def test_of_many_at_once_with_one_version_one_wins(make_app: MakeApp, any_database_url: str) -> None:
    app = make_app(SQLALCHEMY_DATABASE_URI=any_database_url)
    client = registered(app.test_client(), **PUBLIC)
    tag, together = read(app.test_client(), client).headers["ETag"], Barrier(6)

    def change(number: int) -> int:
        together.wait(30)
        return put(app.test_client(), client, tag, client_name=f"Name {number}").status_code

    with ThreadPoolExecutor(together.parties) as pool:
        statuses = sorted(pool.map(change, range(together.parties)))
    assert statuses == [200, *[412] * 5]
