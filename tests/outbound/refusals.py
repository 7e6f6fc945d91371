"""What a fetch that fails says."""

import re

import pytest

from flask_dynreg.outbound import Fetcher, FetchError

SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,.:;-]*\.")


def refusal(fetch: Fetcher, url: str, client_id: str | None = None) -> FetchError:
    """The error, whose text is fit for an error_description: one sentence, and nothing of the URL in it."""
    with pytest.raises(FetchError) as caught:
        fetch(url, client_id=client_id)
    assert SENTENCE.fullmatch(str(caught.value))
    assert "example" not in str(caught.value)
    return caught.value
