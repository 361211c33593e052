"""Both Ios keep the promises of link.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from fox_hpc.testing.link import LINK_CHECKS, check_link, run_check
from fox_hpc.wire.link import Timers
from fox_hpc.wire.memory_link import MemoryIo

CHECKS = pytest.mark.parametrize("check", LINK_CHECKS.values(), ids=LINK_CHECKS.keys())


@CHECKS
def test_memory_link_keeps_its_promise_that(check: Callable[[Any], None]) -> None:
    run_check(check, MemoryIo)


@CHECKS
def test_zmq_link_keeps_its_promise_that(check: Callable[[Any], None], zmq_net: Callable[[], Any]) -> None:
    run_check(check, zmq_net)


def test_check_link_fails_when_a_promise_is_broken() -> None:
    class Stubborn(MemoryIo):
        def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
            super().call_later(delay_s, action)
            return lambda: None

    with pytest.raises(AssertionError, match=r"timers can be called off: found .*off"):
        check_link(Stubborn)


def test_timers_hold_nothing_of_what_was_called_off() -> None:
    timers = Timers()
    for _ in range(1000):
        number = timers.number()
        timers.add(number, 3600.0, lambda: None)
        timers.remove(number)
        timers.remove(number)

    assert (len(timers), len(timers._heap) < 200, timers.due(4000.0)) == (0, True, [])


def test_timers_forget_an_action_that_ran() -> None:
    timers = Timers()
    number = timers.number()
    timers.add(number, 1.0, lambda: None)

    assert len(timers.due(1.0)) == 1

    timers.remove(number)

    assert (len(timers), timers.next_at()) == (0, math.inf)
