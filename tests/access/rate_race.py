"""Many processes of many threads that count against one limit."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from flask_dynreg.access.rates import Rates
from flask_dynreg.errors import TooManyRequestsError


def passed(storage: str, limit: str, threads: int, attempts: int) -> int:
    """How many of the attempts of each thread of this process get through."""
    rates = Rates([limit], storage, "https://as.example", ["open"])

    def attempt(_: int) -> int:
        good = 0
        for _number in range(attempts):
            try:
                rates.count("open", address="192.0.2.1")
                good += 1
            except TooManyRequestsError:
                pass
        return good

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(attempt, range(threads)))


def raced(storage: str, limit: str, processes: int, threads: int, attempts: int) -> int:
    """How many get through in all processes together."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = [pool.submit(passed, storage, limit, threads, attempts) for _ in range(processes)]
        return sum(result.result() for result in results)
