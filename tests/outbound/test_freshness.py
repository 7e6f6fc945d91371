"""For how long a document may be kept (RFC 9111)."""

from email.message import Message
from email.utils import formatdate
from time import time

import pytest

from flask_dynreg.outbound import max_age

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
IN_A_MINUTE = "Thu, 01 Jan 2026 00:01:00 GMT"


def headers(*lines: str) -> Message:
    message = Message()
    for line in lines:
        name, _, value = line.partition(": ")
        message.add_header(name, value)
    return message


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], None),
        (["Date: " + DATE], None),
        (["Age: 5"], None),
        (["Cache-Control: public"], None),
        (["Cache-Control: private, must-revalidate"], None),
        (["Cache-Control: "], None),
        (["Cache-Control: s-maxage=60"], None),
        (["Pragma: no-cache"], None),
        # Section 5.2.2
        (["Cache-Control: max-age=60"], 60),
        (["Cache-Control: MAX-AGE=60"], 60),
        (["Cache-Control: private, max-age = 60 , must-revalidate"], 60),
        (['Cache-Control: max-age="60"'], 60),
        (['Cache-Control: x="a, max-age=5", max-age=60'], 60),
        (["Cache-Control: s-maxage=5, max-age=60"], 60),
        (["Cache-Control: public", "Cache-Control: max-age=60"], 60),
        (["Cache-Control: max-age=0"], 0),
        (["Cache-Control: no-store"], 0),
        (["Cache-Control: no-cache"], 0),
        (['Cache-Control: no-cache="set-cookie"'], 0),
        (["Cache-Control: max-age=60, No-Store"], 0),
        (["Cache-Control: max-age=60", "Cache-Control: no-cache"], 0),
        (["Cache-Control: no-store", "Expires: " + IN_A_MINUTE, "Date: " + DATE], 0),
        # Section 1.2.2
        (["Cache-Control: max-age=99999999999"], 2**31),
        (["Cache-Control: max-age=2147483649", "Age: 48"], 2**31 - 48),
        # Section 4.2.1: the first one counts, and what is not valid is stale.
        (["Cache-Control: max-age=60, max-age=5"], 60),
        (["Cache-Control: max-age=5", "Cache-Control: max-age=60"], 5),
        (["Cache-Control: max-age"], 0),
        (["Cache-Control: max-age="], 0),
        (["Cache-Control: max-age=-60"], 0),
        (["Cache-Control: max-age=+60"], 0),
        (["Cache-Control: max-age=6_0"], 0),
        (["Cache-Control: max-age=1.5"], 0),
        (["Cache-Control: max-age=x"], 0),
        (["Cache-Control: max-age=" + "9" * 5000], 0),
        # Section 5.3
        (["Expires: " + IN_A_MINUTE, "Date: " + DATE], 60),
        (["Expires: " + DATE, "Date: " + DATE], 0),
        (["Expires: " + DATE, "Date: " + IN_A_MINUTE], 0),
        (["Expires: " + IN_A_MINUTE, "Date: " + DATE, "Cache-Control: max-age=5"], 5),
        (["Expires: " + IN_A_MINUTE, "Date: " + DATE, "Cache-Control: s-maxage=5"], 60),
        (["Expires: Fri, 31 Dec 9999 23:59:59 GMT", "Date: " + DATE], 2**31),
        (["Expires: " + DATE], 0),
        (["Expires: " + DATE, "Date: yesterday"], 0),
        (["Expires: Fri, 31 Dec 9999 23:59:59 GMT"], 2**31),
        (["Expires: 0"], 0),
        (["Expires: -1", "Date: " + DATE], 0),
        (["Expires: "], 0),
        # Section 5.1
        (["Cache-Control: max-age=60", "Age: 10"], 50),
        (["Cache-Control: max-age=60", "Age: 0"], 60),
        (["Cache-Control: max-age=60", "Age: 60"], 0),
        (["Cache-Control: max-age=60", "Age: 61"], 0),
        (["Cache-Control: max-age=60", "Age: 10", "Age: 20"], 50),
        (["Cache-Control: max-age=60", "Age: x"], 60),
        (["Cache-Control: max-age=60", "Age: -5"], 60),
        (["Cache-Control: max-age=60", "Age: " + "9" * 30], 60),
        (["Expires: " + IN_A_MINUTE, "Date: " + DATE, "Age: 10"], 50),
        (["Cache-Control: no-store", "Age: 10"], 0),
    ],
)
def test_for_how_long(lines: list[str], seconds: int | None) -> None:
    assert max_age(headers(*lines)) == seconds


def test_without_a_date_it_counts_from_now() -> None:
    seconds = max_age(headers("Expires: " + formatdate(time() + 3600, usegmt=True)))
    assert seconds is not None
    assert 3500 < seconds <= 3600
