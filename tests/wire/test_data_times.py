"""What is done about a connection on which nothing comes."""

from __future__ import annotations

from fox_hpc.wire.data_times import DataTimes, DataWatch, Verdict

TIMES = DataTimes(tick_s=5.0, stall_s=20.0, give_up_s=150.0, silent_s=60.0)


def look(watch: DataWatch, now: float, heard: int = 0, came: int = 0, **is_so: bool) -> Verdict:
    is_so = {"busy": False, "waiting": False, "dialled": False} | is_so
    return watch.look(now, heard, came, **is_so)


def test_connection_that_nobody_needs_is_let_be() -> None:
    watch = DataWatch(TIMES)
    watch.opened(0.0)

    assert look(watch, 1e6) is Verdict.FINE


def test_who_dialled_asks_a_silent_connection_and_makes_it_anew_when_it_stays_silent() -> None:
    watch = DataWatch(TIMES)
    watch.opened(0.0)

    assert look(watch, 4.0, dialled=True) is Verdict.FINE
    assert look(watch, 5.0, dialled=True) is Verdict.PING
    assert look(watch, 50.0, 80, dialled=True) is Verdict.FINE
    assert look(watch, 109.0, 80, dialled=True) is Verdict.PING
    assert look(watch, 110.0, 80, dialled=True) is Verdict.ANEW


def test_connection_is_made_anew_when_no_chunk_comes_though_headers_do() -> None:
    watch = DataWatch(TIMES)
    watch.opened(0.0)
    watch.begin(0.0)
    found = [look(watch, float(now), now * 80, busy=True, waiting=True) for now in range(21)]

    assert found[:20] == [Verdict.FINE] * 20
    assert found[20] is Verdict.ANEW


def test_slow_connection_is_let_be() -> None:
    watch = DataWatch(TIMES)
    watch.opened(0.0)
    watch.begin(0.0)
    for now in range(0, 1000, 10):
        assert look(watch, float(now), now + 100, now + 1, busy=True, waiting=True) is Verdict.FINE


def test_new_connection_has_its_time_though_the_one_before_was_stalled() -> None:
    watch = DataWatch(TIMES)
    watch.begin(0.0)
    watch.opened(100.0)

    assert look(watch, 101.0, busy=True, waiting=True) is Verdict.FINE


def test_what_waits_fails_when_no_chunk_has_come_over_any_connection() -> None:
    watch = DataWatch(TIMES)
    watch.begin(0.0)
    for now in range(15, 150, 15):
        watch.opened(float(now))
        assert look(watch, now + 1.0, 32, busy=True, waiting=True) is Verdict.FINE

    assert look(watch, 150.0, 32, busy=True, waiting=True) is Verdict.GIVE_UP
    assert watch.silent_s(150.0) == 150.0


def test_first_thing_fetched_after_a_long_rest_has_its_time() -> None:
    watch = DataWatch(TIMES)
    watch.opened(0.0)
    watch.begin(1e6)

    assert look(watch, 1e6 + 1, busy=True, waiting=True) is Verdict.FINE
