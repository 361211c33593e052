"""When ranks in a collective wait for others in vain."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fox_hpc.site.standstill import HANG_S, LOOK_S, Hang, Standstill, Watch

HANG = Hang("node2", "all_reduce", "stack")


@pytest.fixture
def ranks() -> Standstill:
    made = Standstill(3)
    made.begin()
    return made


def test_ranks_that_all_wait_may_wait_for_each_other(ranks: Standstill):
    for rank in range(3):
        ranks.hangs(rank, HANG)

    assert ranks.verdict() is None


def test_a_rank_that_waits_while_another_works_may_wait_for_that(ranks: Standstill):
    ranks.came_out(0)
    ranks.hangs(1, HANG)

    assert ranks.verdict() is None


def test_ranks_that_wait_for_those_that_have_left_are_given_up(ranks: Standstill):
    ranks.came_out(0)
    ranks.hangs(2, HANG)
    ranks.came_out(1)
    fault = ranks.verdict()

    assert fault is not None
    assert (fault.type_name, fault.rank, fault.host, fault.traceback) == ("TimeoutError", 2, "node2", "stack")
    assert fault.message == (
        "rank 2 waits in all_reduce() since 7 s for ranks that do not come: "
        "ranks 0, 1 left the call without it"
    )


def test_a_rank_that_goes_on_is_not_given_up(ranks: Standstill):
    ranks.hangs(2, HANG)
    ranks.hangs(2, None)
    ranks.came_out(0)
    ranks.came_out(1)

    assert ranks.verdict() is None


def test_in_a_call_for_rank_0_alone_the_others_will_not_come(ranks: Standstill):
    ranks.begin([0])
    assert ranks.verdict() is None

    ranks.hangs(0, HANG)
    assert ranks.verdict() is not None


def test_a_rank_that_waits_for_the_next_model_takes_part_in_nothing(ranks: Standstill):
    ranks.hangs(0, HANG)
    assert ranks.verdict([1]) is None

    assert ranks.verdict([1, 2]) is not None


@pytest.fixture
def collective() -> Any:
    """Give what looks like a collective of torch.distributed, and runs something inside itself."""
    scope: dict[str, Any] = {"__name__": "torch.distributed.distributed_c10d"}
    exec("def all_reduce(gate):\n    gate.get()", scope)
    return scope["all_reduce"]


class Looks:
    """Lets a watch look when the test says so, on a clock of the test."""

    def __init__(self) -> None:
        self.now, self.told = 0.0, list[Hang | None]()
        self._next: Callable[[], None] | None = None

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._next = action

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            assert self._next is not None
            self._next()


def inside(collective: Any, looks: Looks) -> SimpleNamespace:
    """Start a thread that is watched, and goes into the collective as often as its gate is opened."""
    gate, ready = queue.SimpleQueue[None](), threading.Event()

    def work() -> None:
        Watch("node2", looks.later, looks.told.append, lambda: looks.now)
        ready.set()
        for _ in range(3):
            collective(gate)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10)
    return SimpleNamespace(thread=thread, gate=gate)


def frames_of(thread: threading.Thread) -> Any:
    assert thread.ident is not None
    return sys._current_frames()[thread.ident]


def wait_until_inside(thread: threading.Thread, other_than: Any = None) -> Any:
    while True:
        frame = frames_of(thread)
        if frame.f_code.co_name == "all_reduce" and frame is not other_than:
            return frame


def test_a_thread_that_stays_in_a_collective_is_told_of_once_with_its_stack(collective: Any):
    looks = Looks()
    work = inside(collective, looks)
    frame = wait_until_inside(work.thread)
    looks.go_on(HANG_S)
    assert looks.told == []

    looks.go_on(2 * HANG_S)
    (told,) = looks.told
    assert told is not None
    assert (told.host, told.where) == ("node2", "all_reduce")
    assert "in work" in told.trace
    work.gate.put(None)
    wait_until_inside(work.thread, other_than=frame)
    looks.go_on(LOOK_S)
    assert looks.told[1:] == [None]
    work.gate.put(None)
    work.gate.put(None)
    work.thread.join(10)


def test_a_thread_that_goes_from_one_collective_into_the_next_works(collective: Any):
    looks = Looks()
    work = inside(collective, looks)
    frame = None
    for _ in range(3):
        frame = wait_until_inside(work.thread, other_than=frame)
        looks.go_on(HANG_S)
        work.gate.put(None)
    work.thread.join(10)

    assert looks.told == []
