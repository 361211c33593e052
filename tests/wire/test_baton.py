"""Who runs a loop: its own thread, or one that waits."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from waiting import wait_for

from fox_hpc.errors import FoxError
from fox_hpc.wire.zmq_link import ZmqIo


@pytest.fixture
def io() -> Iterator[ZmqIo]:
    made = ZmqIo()
    yield made
    made.close()


class Letterbox:
    """Something that an action of the I/O thread brings, and by which thread it was brought."""

    def __init__(self, io: ZmqIo) -> None:
        self.by: list[str] = []
        self._io, self._changed = io, threading.Condition()

    def bring(self) -> None:
        with self._changed:
            self.by.append(threading.current_thread().name)
            self._changed.notify_all()

    def wait(self, count: int = 1, timeout: float | None = 10.0) -> bool:
        return self._io.wait_for(self._changed, lambda: len(self.by) >= count, timeout)


def later(io: ZmqIo, action: Callable[[], None]) -> None:
    """Do something once some thread has the loop that is not its own one."""

    def look() -> None:
        if threading.current_thread().name == "fox-io":
            io.call_later(0.005, look)
        else:
            action()

    io.call_soon(look)


def test_thread_that_waits_runs_the_loop(io: ZmqIo) -> None:
    box = Letterbox(io)
    later(io, box.bring)

    assert box.wait()
    assert box.by == [threading.current_thread().name]


def test_own_thread_runs_the_loop_again_when_the_guest_stays_away(io: ZmqIo) -> None:
    box = Letterbox(io)
    later(io, box.bring)
    assert box.wait()
    wait_for(lambda: "own thread" in repr(io._baton))
    io.call_soon(box.bring)
    wait_for(lambda: len(box.by) == 2)

    assert box.by[1] == "fox-io"


def test_own_thread_runs_the_loop_again_after_a_long_visit(io: ZmqIo) -> None:
    box = Letterbox(io)
    later(io, lambda: io.call_later(0.2, box.bring) and None)
    assert box.wait()
    wait_for(lambda: "own thread" in repr(io._baton))


def test_work_that_comes_while_nobody_runs_the_loop_is_done_at_once(io: ZmqIo) -> None:
    box = Letterbox(io)
    for count in range(1, 10):
        later(io, box.bring)
        assert box.wait(2 * count - 1)
        io.call_soon(box.bring)
        wait_for(lambda count=count: len(box.by) == 2 * count)


def test_several_threads_that_wait_all_get_theirs(io: ZmqIo) -> None:
    boxes = [Letterbox(io) for _ in range(4)]
    got: list[bool] = []

    def ask(box: Letterbox) -> None:
        for count in range(1, 51):
            io.call_soon(box.bring)
            got.append(box.wait(count))

    threads = [threading.Thread(target=ask, args=(box,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)

    assert got == [True] * 200


def test_guest_that_is_interrupted_leaves_the_loop_to_its_own_thread(io: ZmqIo) -> None:
    box = Letterbox(io)

    def interrupt() -> None:
        raise KeyboardInterrupt

    later(io, interrupt)
    with pytest.raises(KeyboardInterrupt):
        box.wait()
    io.call_soon(box.bring)
    wait_for(lambda: box.by)

    assert box.by == ["fox-io"]


def test_signals_handler_may_wait_although_its_thread_runs_the_loop(io: ZmqIo) -> None:
    outer, inner, came = Letterbox(io), Letterbox(io), list[bool]()

    def handle(*_: object) -> None:
        io.call_later(0.01, inner.bring)
        came.append(inner.wait())
        io.call_soon(outer.bring)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        later(io, lambda: threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGUSR1)).start())

        assert outer.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [True]


def test_wait_amidst_a_message_is_refused_and_the_loop_goes_on(io: ZmqIo) -> None:
    box, refused = Letterbox(io), list[str]()

    def ask() -> None:
        with pytest.raises(FoxError) as caught:
            box.wait()
        refused.append(str(caught.value))
        box.bring()

    io.call_soon(ask)

    assert box.wait()
    assert "set a flag" in refused[0]


def test_guest_hears_of_what_another_thread_brings_past_the_loop(io: ZmqIo) -> None:
    box, inside = Letterbox(io), threading.Event()
    later(io, inside.set)
    other = threading.Thread(target=lambda: (inside.wait(), box.bring()))
    other.start()

    assert box.wait(timeout=None)
    other.join()


def test_closing_sends_the_guest_out(io: ZmqIo) -> None:
    box, came = Letterbox(io), []
    guest = threading.Thread(target=lambda: came.append(box.wait(timeout=0.5)))
    later(io, lambda: threading.Thread(target=io.close).start())
    guest.start()
    guest.join(10.0)

    assert came == [False]
    wait_for(lambda: io.context.closed)


def test_timers_of_other_threads_wake_the_guest(io: ZmqIo) -> None:
    box = Letterbox(io)
    started = threading.Event()
    later(io, started.set)
    other = threading.Thread(target=lambda: (started.wait(), io.call_later(0.01, box.bring)))
    other.start()

    assert box.wait()
    other.join()
