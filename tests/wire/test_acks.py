"""Answers that come one by one, and many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fox_hpc.errors import WireError
from fox_hpc.wire.acks import Acks, acknowledged


class Told:
    """Acks whose timer is rung by hand."""

    def __init__(self) -> None:
        self.said: list[tuple[str, list[str]]] = []
        self.timers: list[Callable[[], None]] = []
        self.acks = Acks(self._say, lambda delay_s, action: self.timers.append(action))

    def _say(self, id: str, target: str, frames: list[Any]) -> None:
        self.said.append((target, acknowledged(id, frames)))

    def ring(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


def test_first_answer_is_acknowledged_at_once_and_the_next_ones_together() -> None:
    told = Told()
    for id in "abc":
        told.acks.note(id, "site-1")
    told.acks.note("d", "site-2")

    assert told.said == [("site-1", ["a"])]
    told.ring()
    assert told.said[1:] == [("site-1", ["b", "c"]), ("site-2", ["d"])]


def test_timer_stops_when_answers_stop_and_begins_again() -> None:
    told = Told()
    told.acks.note("a", "site-1")
    told.ring()

    assert not told.timers
    told.acks.note("b", "site-1")
    assert told.said == [("site-1", ["a"]), ("site-1", ["b"])]


def test_answer_that_holds_much_memory_does_not_wait() -> None:
    told = Told()
    told.acks.note("a", "site-1")
    told.acks.note("b", "site-1", at_once=True)

    assert (told.said[-1], len(told.timers)) == (("site-1", ["b"]), 1)


@pytest.mark.parametrize(
    "frames", [[], [b""], [b"\xff"], [b"\x81\x01\x02"]], ids=["none", "empty", "junk", "map"]
)
def test_acknowledgement_that_cannot_be_read_is_refused(frames: list[Any]) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        acknowledged("", frames)
