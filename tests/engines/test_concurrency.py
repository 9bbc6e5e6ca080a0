"""The limit on concurrent requests climbs while that helps and halves on a timeout."""

from memscope.engines.concurrency import ConcurrencyLimit


def drive(pace: ConcurrencyLimit, throughput: dict[int, float], calls: int = 400) -> None:
    now = 0.0
    for _ in range(calls):
        now += 1 / throughput[pace.limit]
        pace.done(1, now)


def test_the_limit_rises_to_the_cap_while_throughput_rises() -> None:
    pace = ConcurrencyLimit(cap=6)
    drive(pace, {n: float(n) for n in range(1, 7)})
    assert pace.limit >= 5


def test_it_settles_where_more_requests_stop_helping() -> None:
    pace = ConcurrencyLimit(cap=16)
    drive(pace, {n: float(min(n, 3)) for n in range(1, 17)})
    assert pace.limit == 3


def test_it_halves_on_a_timeout_and_stays_there() -> None:
    pace = ConcurrencyLimit(start=8, cap=16)
    pace.timed_out(0.0)
    assert pace.limit == 4
    drive(pace, {n: float(n) for n in range(1, 17)})
    assert pace.limit == 4


def test_it_never_falls_below_one() -> None:
    pace = ConcurrencyLimit()
    pace.timed_out(0.0)
    assert pace.limit == 1
