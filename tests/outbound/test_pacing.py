"""Budgets and pauses: on a clock of our own, and among threads."""

import threading
from collections.abc import Callable

import pytest

from flask_dynreg.pacing import Budget, Budgets, Pauses
from tests.outbound.conftest import Clock


def taken(budgets: Budgets, of: dict[str, Budget]) -> int:
    """How many can be taken, one after the other, at once."""
    count = 0
    while budgets.take(of) is None:
        budgets.give_back(of)
        count += 1
    return count


@pytest.mark.parametrize("each_minute", [1, 7, 10, 60, 300, 1000])
def test_all_of_a_budget_may_be_used_at_once_and_comes_back_evenly(clock: Clock, each_minute: int) -> None:
    budgets, of = Budgets(clock), {"all": Budget(each_minute, 1)}
    assert taken(budgets, of) == each_minute
    clock.now += 60 / each_minute
    assert taken(budgets, of) == 1
    clock.now += 30
    assert taken(budgets, of) == each_minute // 2
    clock.now += 1e6
    assert taken(budgets, of) == each_minute


def test_trying_again_after_the_seconds_that_are_told_is_right(clock: Clock) -> None:
    budgets, of = Budgets(clock), {"all": Budget(4, 1)}
    assert taken(budgets, of) == 4
    assert budgets.take(of) == 15
    clock.now += 14
    assert budgets.take(of) == 1
    clock.now += 1
    assert budgets.take(of) is None


def test_of_several_budgets_one_is_taken_of_each_or_none(clock: Clock) -> None:
    budgets, narrow, wide = Budgets(clock), Budget(1, 9), Budget(3, 9)
    assert budgets.take({"narrow": narrow, "wide": wide}) is None
    assert budgets.take({"narrow": narrow, "wide": wide}) == 60
    assert taken(budgets, {"wide": wide}) == 2


def test_so_many_at_a_time(clock: Clock) -> None:
    budgets, of = Budgets(clock), {"all": Budget(60, 2)}
    assert [budgets.take(of), budgets.take(of), budgets.take(of)] == [None, None, 1]
    budgets.give_back(of)
    assert [budgets.take(of), budgets.take(of)] == [None, 1]


def test_only_names_that_were_used_last_are_known(clock: Clock) -> None:
    budgets, once = Budgets(clock), Budget(1, 1)
    for number in range(budgets.MOST + 1):
        assert taken(budgets, {f"host {number}": once}) == 1
    assert budgets.take({"host 1": once}) == 60
    assert budgets.take({"host 0": once}) is None


def test_threads_together_take_no_more_than_there_is(clock: Clock) -> None:
    budgets, of = Budgets(clock), {"all": Budget(100, 100)}
    count = 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal count
        for _ in range(50):
            if budgets.take(of) is None:
                with counting:
                    count += 1

    run_in_threads(work, 8)
    assert count == 100


def run_in_threads(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    pauses = Pauses(clock)
    assert pauses.of(("a",)) is None
    lengths = []
    for _ in range(30):
        lengths.append(pauses.failed(("a",), "It failed."))
        assert pauses.of(("b", "a")) == ("It failed.", lengths[-1])
        clock.now += lengths[-1] - 1
        assert pauses.of(("a",)) == ("It failed.", 1)
        clock.now += 1
        assert pauses.of(("a",)) is None
    assert lengths[:8] == [10, 20, 40, 80, 160, 320, 640, 900]
    assert set(lengths[8:]) == {900}


def test_what_works_has_no_pause_and_a_short_one_next_time(clock: Clock) -> None:
    pauses = Pauses(clock)
    assert pauses.failed(("a",), "It failed.") == 10
    clock.now += 10
    assert pauses.failed(("a",), "It failed.") == 20
    pauses.worked(("a", "b"))
    assert pauses.of(("a",)) is None
    assert pauses.failed(("a",), "It failed.") == 10


def test_failures_at_the_same_time_count_once(clock: Clock) -> None:
    pauses = Pauses(clock)
    assert pauses.failed(("a",), "It failed.") == 10
    clock.now += 4
    assert pauses.failed(("a",), "It failed too.") == 6
    clock.now += 6
    assert pauses.failed(("a",), "It failed.") == 20


def test_the_longest_pause_is_the_one_that_is_told(clock: Clock) -> None:
    pauses = Pauses(clock)
    pauses.failed(("host",), "The host failed.")
    clock.now += 10
    assert pauses.failed(("host", "url"), "The host failed.") == 20
    assert pauses.of(("url", "host")) == ("The host failed.", 20)
    assert pauses.of(("url",)) == ("The host failed.", 10)


def test_only_what_failed_last_is_known(clock: Clock) -> None:
    pauses = Pauses(clock)
    for number in range(pauses.MOST + 1):
        pauses.failed((f"{number}",), "It failed.")
    assert pauses.of(("0",)) is None
    assert pauses.of(("1",)) == ("It failed.", 10)


def test_a_clock_that_is_set_back_makes_nobody_wait_for_it(clock: Clock) -> None:
    budgets, of, pauses = Budgets(clock), {"all": Budget(2, 1)}, Pauses(clock)
    assert taken(budgets, of) == 2
    pauses.failed(("a",), "It failed.")
    clock.now -= 1e6
    assert budgets.take(of) == 30
    assert pauses.of(("a",)) is None
    assert pauses.failed(("a",), "It failed.") == 20
    clock.now += 30
    assert budgets.take(of) is None
