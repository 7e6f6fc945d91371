"""Every name of the registry, by the same questions: is it taken, refused, kept, replaced, removed, ignored?"""

from typing import Any

import pytest

from flask_dynreg.metadata.schema import SERVER_MADE as NEVER_TAKEN
from flask_dynreg.metadata.schema import ClientMetadataSchema
from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, DEFAULTS, Provider, member_of, same, told
from tests.vocabulary.registry import KEPT, ROWS, SENT, SERVER_MADE, STATEMENT, WRONG_TYPES
from tests.vocabulary.values import SOUND, Sample, sent, unsound

SAMPLES = [(name, sample) for name in KEPT for sample in SOUND[name]]
ALWAYS_THERE = {"redirect_uris", "grant_types", "response_types"}


def test_there_is_every_name_of_the_registry() -> None:
    known = set(ClientMetadataSchema().fields)
    assert known | NEVER_TAKEN | {STATEMENT} == ROWS.keys() and STATEMENT not in known
    assert not known & NEVER_TAKEN and set(SERVER_MADE) == NEVER_TAKEN


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_a_sound_value_is_registered_as_it_is(op: Provider, name: str, sample: Sample) -> None:
    client = op.registered(sent(name, sample))
    assert same(client[name], sample.value)
    # what a client was told, it may say again
    assert op.updated(client, client) == client


@requirement("RFC9126-6-01", "RFC9449-5.2-02", "RFC8705-3.4-01", "FAPI2-5.2.2.1.1-01", "OIDCREG-2-37", "RFC9396-10-01")
@pytest.mark.parametrize("name", SENT)
def test_a_value_of_another_type_is_refused_by_its_name(op: Provider, name: str) -> None:
    beside = SOUND[name][0].beside if name in SOUND else {}
    for value in WRONG_TYPES[ROWS[name].type]:
        if value == [] and ROWS[name].is_list:
            continue
        assert name in op.members({**BASE, **beside, name: value}), value


@pytest.mark.parametrize("name", KEPT)
def test_an_unsound_value_is_refused_by_its_name(op: Provider, name: str) -> None:
    wrong = [sample.value for sample in unsound(name) if name not in op.members(sent(name, sample))]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in KEPT if ROWS[name].is_list])
def test_an_item_that_is_wrong_is_named_by_its_place(op: Provider, name: str) -> None:
    sample = SOUND[name][0]
    items = [*sample.value, 7, *sample.value, ""]
    (first, second) = (f"/{name}/{len(sample.value)}", f"/{name}/{len(items) - 1}")
    assert op.pointers({**BASE, **sample.beside, name: items}) == [first, second]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_refused_in_an_update_changes_nothing(op: Provider, name: str) -> None:
    sample = SOUND[name][0]
    client = op.registered(sent(name, sample))
    wrong = WRONG_TYPES[ROWS[name].type][0]
    assert name in map(member_of, op.refused(op.put(client, client | {name: wrong})))
    assert op.updated(client, client) == client


@pytest.mark.parametrize("name", [name for name in KEPT if name not in ("redirect_uris", STATEMENT)])
def test_an_update_without_it_removes_it_or_brings_its_default_back(op: Provider, name: str) -> None:
    sample = SOUND[name][0]
    client = op.registered(sent(name, sample))
    beside = {} if name.startswith("tls_client_auth_") else sample.beside
    default = "A128CBC-HS256" if name.endswith("_enc") and not name.startswith("nfv_") else DEFAULTS.get(name)
    assert op.updated(client, {**BASE, **beside}).get(name) == default


def test_redirect_uris_are_not_removed(op: Provider) -> None:
    client = op.registered(BASE)
    nothings: list[dict[str, Any]] = [{}, {"redirect_uris": None}, {"redirect_uris": []}]
    for nothing in nothings:
        assert op.refused(op.put(client, nothing)) == ["/redirect_uris"]
    assert op.updated(client, client) == client


def test_a_statement_is_not_removed_but_replaced(op: Provider) -> None:
    first, second = (sample.value for sample in SOUND[STATEMENT])
    client = op.registered({**BASE, STATEMENT: first})
    nothings: list[dict[str, Any]] = [{}, {STATEMENT: None}, {STATEMENT: ""}]
    for nothing in nothings:
        assert op.updated(client, {**BASE, **nothing}) == client
    assert op.updated(client, {**BASE, STATEMENT: second})[STATEMENT] == second


@pytest.mark.parametrize("name", [name for name in SENT if name not in ALWAYS_THERE])
def test_null_and_empty_count_as_absent(op: Provider, name: str) -> None:
    beside = SOUND[name][0].beside if name in SOUND and not name.startswith("tls_client_auth_") else {}
    nothings: list[Any] = [None, "", *([[]] if ROWS[name].is_list else [])]
    for nothing in nothings:
        assert op.metadata({**BASE, **beside, name: nothing}) == op.metadata({**BASE, **beside})


@pytest.mark.parametrize("name", sorted(ALWAYS_THERE))
def test_null_and_empty_text_count_as_absent_in_what_is_always_there(op: Provider, name: str) -> None:
    # nothing redirects to this client: it needs no redirect URI
    others = BASE if name != "redirect_uris" else {"grant_types": ["client_credentials"]}
    for nothing in (None, ""):
        assert op.metadata({**others, name: nothing}) == op.metadata(others)


@pytest.mark.parametrize("value", ["chosen", 1, None, [], {"x": 1}])
@pytest.mark.parametrize("name", SERVER_MADE)
def test_what_the_server_makes_is_not_taken_from_a_registration(op: Provider, name: str, value: Any) -> None:
    client = op.registered({**BASE, name: value})
    assert client[name] != value and told(client) == DEFAULTS


@pytest.mark.parametrize("value", ["chosen", 1, [], {"x": 1}, True])
@pytest.mark.parametrize("name", SERVER_MADE)
def test_what_the_server_makes_is_refused_in_an_update_if_it_is_another(op: Provider, name: str, value: Any) -> None:
    client = op.registered(BASE)
    assert op.refused(op.put(client, client | {name: value})) == [f"/{name}"]
    assert op.updated(client, client) == client


@pytest.mark.parametrize("value", [None, 1, "x", [], {"x": ["\u202e"]}])
@pytest.mark.parametrize(
    "name", ["", "x", "Client_Name", "client_name ", "issuer", "a/b~c", "\u202e", "__proto__", "choices"]
)
def test_a_name_that_nobody_knows_is_ignored(op: Provider, name: str, value: Any) -> None:
    assert op.metadata({**BASE, name: value}) == DEFAULTS
