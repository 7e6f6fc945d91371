"""Requirements and tests are tied both ways."""

import pytest

from tests.conformance import matrix
from tests.conformance.requirements import REQUIREMENTS, requirement


def test_every_id_that_a_test_names_is_a_row() -> None:
    assert matrix.named_ids().keys() <= REQUIREMENTS.keys()


def test_a_test_that_names_no_row_is_an_error() -> None:
    with pytest.raises(LookupError, match="RFC7591-99-99"):
        requirement("RFC7591-99-99")
    with pytest.raises(LookupError):
        requirement()


def test_every_restated_row_and_every_deviation_is_a_row() -> None:
    restated = {id for row in REQUIREMENTS.values() for id in row.same_as}
    assert restated | matrix.DEVIATIONS.keys() <= REQUIREMENTS.keys()


@pytest.mark.parametrize("profile", ["core", "oidc", "extensions", "software_statement"])
def test_every_row_of_these_profiles_is_shown_or_a_deviation(profile: str) -> None:
    named = matrix.named_ids()
    rows = [row for row in REQUIREMENTS.values() if row.profile == profile]
    assert (
        rows and [row.id for row in rows if not matrix.is_shown(row, named) and row.id not in matrix.DEVIATIONS] == []
    )


def test_the_list_in_the_documents_is_up_to_date() -> None:
    assert matrix.DOCUMENT.read_text(encoding="utf-8") == matrix.document(), "Run: python -m tests.conformance"
