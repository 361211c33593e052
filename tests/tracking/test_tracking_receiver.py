"""The server's end of tracking: every receiver for itself, and the run for none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fox_hpc.errors import WireError
from fox_hpc.metric import Entry, Point, pack
from fox_hpc.tracking import TrackedRun, TrackingReceiver
from fox_hpc.tracking.tracking_receiver import Feed

RUN = TrackedRun("run-1", "job", Path("folder"))


class Keeper:
    """Keeps what it is given; may be told to wait, or to fail, before it does."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.calls: list[str] = []
        self.got: dict[str, list[Entry]] = {}
        self._before = before
        self.entered = threading.Event()

    def open(self, run: TrackedRun) -> None:
        self.calls.append(f"open {run.run}")

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        self.entered.set()
        self._before()
        self.calls.append(f"receive {site} {len(entries)}")
        self.got.setdefault(site, []).extend(entries)

    def close(self) -> None:
        self.calls.append("close")


def points(*values: float) -> list[Point]:
    return [Point("x", value, None, 0.0) for value in values]


def packed(*values: float) -> bytes:
    [(_, data)] = pack(points(*values))
    return data


def never() -> bool:
    return False


def tracking(*receivers: Keeper, told: list[str] | None = None) -> TrackingReceiver:
    return TrackingReceiver(receivers, RUN, [].append if told is None else told.append)


def test_a_receiver_is_opened_fed_and_closed_in_order():
    keeper = Keeper()
    made = tracking(keeper)
    made.take("site-1", packed(1, 2))
    made.close(never)

    assert keeper.calls == ["open run-1", "receive site-1 2", "close"]
    assert keeper.got == {"site-1": points(1, 2)}
    assert made.history.rows() == [("site-1", "x", None, 1.0), ("site-1", "x", None, 2.0)]


def test_a_run_that_logs_nothing_calls_no_receiver():
    keeper = Keeper()
    tracking(keeper).close(never)

    assert keeper.calls == []


def test_what_waits_is_handed_over_at_once_site_by_site():
    gate = threading.Event()
    keeper = Keeper(gate.wait)
    made = tracking(keeper)
    made.take("site-1", packed(0))
    assert keeper.entered.wait(30)
    for number in range(1, 4):
        made.take("site-1", packed(number))
        made.take("site-2", packed(number))
    gate.set()
    made.close(never)

    assert keeper.calls == ["open run-1", "receive site-1 1", "receive site-1 3", "receive site-2 3", "close"]
    assert keeper.got["site-1"] == points(0, 1, 2, 3)


def test_a_receiver_that_fails_is_told_of_once_and_counted_and_hurts_no_other():
    def fail() -> None:
        raise OSError("disk is full\nreally")

    told: list[str] = []
    good = Keeper()
    made = tracking(Keeper(fail), good, told=told)
    made.take("site-1", packed(1, 2))
    made.take("site-2", packed(3))
    made.close(never)

    assert good.got == {"site-1": points(1, 2), "site-2": points(3)}
    assert made.unwritten == {"Keeper": 3}
    assert [words.partition(": ")[2] for words in told] == [
        "Keeper could not write 2 logged values of site-1: disk is full"
    ]


def test_a_receiver_that_cannot_begin_is_asked_again_and_counted():
    class Late(Keeper):
        def open(self, run: TrackedRun) -> None:
            super().open(run)
            if len(self.calls) == 1:
                raise OSError("not yet")

    late = Late()
    made = tracking(late)
    made.take("site-1", packed(1))
    while late.calls == []:
        late.entered.wait(0.01)
    made.take("site-2", packed(2))
    made.close(never)

    assert late.calls[:2] == ["open run-1", "open run-1"]
    assert sum(made.unwritten.values()) + sum(map(len, late.got.values())) == 2


def test_a_receiver_that_hangs_holds_up_neither_the_others_nor_the_end_of_a_cancelled_run(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("fox_hpc.tracking.tracking_receiver.HURRY_S", 0.1)
    gate, told, good = threading.Event(), list[str](), Keeper()
    stuck = Keeper(gate.wait)
    made = tracking(stuck, good, told=told)
    made.take("site-1", packed(1))
    assert stuck.entered.wait(30)
    made.take("site-1", packed(2, 3))
    made.close(lambda: True)
    gate.set()

    assert good.calls[-1] == "close"
    assert made.unwritten == {"Keeper": 2}
    assert "2 logged values are not written there" in told[0]


def test_a_full_queue_drops_for_this_receiver_only_and_counts():
    gate = threading.Event()
    keeper = Keeper(gate.wait)
    feed = Feed(keeper, RUN, print, queue_bytes=len(packed(1)))
    feed.put("site-1", 1, packed(0))
    assert keeper.entered.wait(30)
    feed.put("site-1", 1, packed(1))
    feed.put("site-1", 1, packed(2))
    gate.set()
    feed.end()
    feed.wait(never)

    assert keeper.got == {"site-1": points(0, 1)}
    assert feed.unwritten == 1


def test_what_is_no_entry_is_refused():
    with pytest.raises(WireError, match="no entries"):
        tracking().take("site-1", b"nonsense")


def test_drops_are_added_up_over_attempts():
    made = tracking()

    assert [made.note_dropped("site-1", 1, total) for total in (0, 5, 5, 7)] == [False, True, False, True]
    made.note_dropped("site-1", 2, 2)
    assert made.dropped == {"site-1": 9}
