"""How often a slow queue is looked at."""

from __future__ import annotations

from fox_hpc.site.pace import RARER, SLOW_S, Pace


def test_a_slow_look_makes_the_next_ones_rarer_up_to_a_limit() -> None:
    pace = Pace(30.0)
    periods = []
    for _ in range(5):
        pace.looked(SLOW_S + 1)
        periods.append(pace.period_s)

    assert periods == [60.0, 120.0, 240.0, 300.0, 300.0]
    assert periods[-1] == 30.0 * RARER


def test_a_quick_look_brings_the_usual_period_back() -> None:
    pace = Pace(30.0)
    pace.looked(SLOW_S + 1)
    pace.looked(0.1)

    assert pace.period_s == 30.0


def test_rarer_looks_are_told_with_the_trouble() -> None:
    pace = Pace(30.0)
    assert pace.explain("the queue took 6 s to answer") == "the queue took 6 s to answer"
    pace.looked(SLOW_S + 1)

    assert (
        pace.explain("the queue took 6 s to answer") == "the queue took 6 s to answer; it is asked every 60 s"
    )
    assert pace.explain("") == ""
