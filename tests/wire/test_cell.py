"""Calls over wires that break: each runs once, and each gets one answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from waiting import wait_for

from fox_hpc.call import Call, Fault, Reply
from fox_hpc.errors import CallCancelled, CallTimeout, CodecError, RemoteError, SiteLost
from fox_hpc.testing.ear import Ear
from fox_hpc.wire import channel, codec, envelope
from fox_hpc.wire.answers import REMEMBERED, Answer, Answers, Incoming
from fox_hpc.wire.cell import Cell, relay_cell, worker_cell
from fox_hpc.wire.memory_link import MemoryIo
from fox_hpc.wire.parcel import Parcel

WORKER = worker_cell("site-1")


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a timer brings."""
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)


class End:
    """One end of the wire: hands what comes to its cell, writes down what came, and can lose some of it."""

    def __init__(self) -> None:
        self.cell: Cell
        self.came: list[str] = []
        self.lose: Callable[[str], bool] = lambda kind: False
        self.on_up: Callable[[], None] = lambda: None

    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        head = envelope.read(frames[0])
        self.came.append(head.kind)
        if not self.lose(head.kind):
            self.cell.deliver(head, frames[1:])

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        if up:
            self.on_up()


class Wire:
    """A server's and a worker's cell, with a MemoryIo between them."""

    def __init__(self) -> None:
        self.io = MemoryIo()
        self.up, self.down = End(), End()
        self.listening = self.io.listen(self.up)
        self.server = self.up.cell = Cell("server", self.listening.send, self.io.call_later)
        self.link = self.io.dial(self.listening.url, WORKER, self.down)
        self.worker = self.down.cell = Cell(
            WORKER, lambda target, frames: self.link.send("", frames), self.io.call_later, attempt=1
        )
        self.settled()

    def cut(self) -> None:
        self.io.cut(self.listening.url, WORKER)

    def mend(self) -> None:
        self.io.mend(self.listening.url, WORKER, self.link)

    def settled(self) -> None:
        """Wait until the I/O thread has nothing to do, and what it did has had its effect."""
        for _ in range(6):
            done = threading.Event()
            self.io.call_soon(done.set)
            assert done.wait(5.0)

    def call(self, func: str = "f", *args: Any, **options: Any) -> Future[Any]:
        return self.server.start(Call(func, args, **options), ["site-1"])[0].future

    def take(self) -> Incoming:
        incoming = self.worker.take(5.0)
        assert incoming is not None
        return incoming

    def has_nothing_to_do(self) -> bool:
        self.settled()
        try:
            self.worker.take(0)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.io.close()


@pytest.fixture
def opened(wire: Wire) -> Wire:
    wire.server.open("site-1")
    return wire


def test_call_is_answered_and_nothing_is_left(opened: Wire) -> None:
    future = opened.call("train", 1, np.arange(3))
    incoming = opened.take()
    opened.worker.reply(incoming, Reply({"sum": incoming.call.args[0] + int(incoming.call.args[1].sum())}))

    assert (incoming.call.func, future.result(5.0)) == ("train", {"sum": 4})
    opened.settled()
    assert repr(opened.server) == "<Cell server · 0 open · 0 to do · 0 kept>"
    assert repr(opened.worker) == f"<Cell {WORKER} · 0 open · 0 to do · 0 kept>"


def test_call_waits_until_its_site_is_open(wire: Wire) -> None:
    future = wire.call()

    assert wire.has_nothing_to_do()
    wire.server.open("site-1")
    wire.worker.reply(wire.take(), Reply(1))

    assert future.result(5.0) == 1


def test_call_that_comes_again_while_it_runs_runs_once(opened: Wire) -> None:
    future = opened.call()
    incoming = opened.take()
    opened.server.open("site-1")
    opened.server.open("site-1")

    assert opened.has_nothing_to_do()
    opened.worker.reply(incoming, Reply("once"))

    assert future.result(5.0) == "once"
    assert opened.down.came.count("call") == 3


def test_call_that_comes_again_after_its_answer_is_answered_from_what_was_kept(opened: Wire) -> None:
    opened.up.lose = lambda kind: kind == "reply"
    future = opened.call()
    opened.worker.reply(opened.take(), Reply("kept"))
    opened.settled()

    assert (future.done(), opened.worker.kept) == (False, 1)
    opened.up.lose = lambda kind: False
    opened.server.open("site-1")

    assert future.result(5.0) == "kept"
    assert opened.has_nothing_to_do()
    assert opened.worker.kept == 0


def test_call_that_comes_again_after_all_was_settled_does_not_run(opened: Wire) -> None:
    copies: list[Any] = []
    post = opened.server._post
    opened.server._post = lambda target, frames: (copies.append(frames), post(target, frames))[1]
    future = opened.call()
    opened.worker.reply(opened.take(), Reply(1))
    future.result(5.0)
    opened.settled()
    post(WORKER, copies[0])

    assert opened.has_nothing_to_do()
    assert opened.down.came.count("call") == 2


def test_lost_answer_is_sent_again_when_the_link_is_back(opened: Wire) -> None:
    opened.down.on_up = opened.worker.resend_kept
    future = opened.call()
    incoming = opened.take()
    opened.cut()
    opened.worker.reply(incoming, Reply(7))
    opened.settled()

    assert (future.done(), opened.worker.kept) == (False, 1)
    opened.mend()

    assert future.result(5.0) == 7
    opened.settled()
    assert opened.worker.kept == 0


def test_answer_whose_acknowledgement_was_lost_is_acknowledged_again(opened: Wire) -> None:
    opened.down.lose = lambda kind: kind == "ack"
    future = opened.call()
    opened.worker.reply(opened.take(), Reply(7))

    assert future.result(5.0) == 7
    opened.settled()
    assert opened.worker.kept == 1
    opened.down.lose = lambda kind: False
    opened.worker.resend_kept()

    until(lambda: opened.worker.kept == 0)
    assert future.result(0) == 7


def test_lost_call_is_sent_again_when_the_site_is_open_again(opened: Wire) -> None:
    opened.cut()
    future = opened.call()
    opened.server.shut("site-1")
    opened.mend()
    opened.server.open("site-1")
    opened.worker.reply(opened.take(), Reply(1))

    assert future.result(5.0) == 1


def test_late_answer_of_a_call_that_was_given_up_is_acknowledged_and_dropped(opened: Wire) -> None:
    opened.down.lose = lambda kind: kind == "cancel"
    pending = opened.server.start(Call("f"), ["site-1"])
    incoming = opened.take()
    opened.server.cancel(pending)
    opened.worker.reply(incoming, Reply(1))
    opened.settled()

    with pytest.raises(CallCancelled):
        pending[0].future.result(0)
    assert opened.worker.kept == 0


def test_cancelling_reaches_the_far_side_and_no_answer_is_kept(opened: Wire) -> None:
    pending = opened.server.start(Call("f"), ["site-1"])
    incoming = opened.take()
    opened.server.cancel(pending)

    with pytest.raises(CallCancelled):
        pending[0].future.result(0)
    wait_for(lambda: incoming.cancelled)
    opened.worker.reply(incoming, Reply(1))
    opened.settled()
    assert (opened.worker.kept, "reply" in opened.up.came) == (0, False)


def test_call_that_is_cancelled_before_it_begins_does_not_run(opened: Wire) -> None:
    opened.server.cancel(opened.server.start(Call("f"), ["site-1"]))

    assert opened.has_nothing_to_do()
    assert opened.worker.running() == []


def test_cancelling_frees_an_answer_that_is_on_its_way(opened: Wire) -> None:
    opened.up.lose = lambda kind: kind == "reply"
    pending = opened.server.start(Call("f"), ["site-1"])
    opened.worker.reply(opened.take(), Reply(1))
    opened.server.cancel(pending)
    opened.settled()

    assert opened.worker.kept == 0


def test_timeout_counts_from_the_moment_the_site_has_the_call(wire: Wire) -> None:
    future = wire.call("slow", timeout=0.05)
    waited = threading.Event()
    wire.io.call_later(0.15, waited.set)
    waited.wait(5.0)

    assert not future.done()
    wire.server.open("site-1")
    incoming = wire.take()
    with pytest.raises(CallTimeout, match=r"within 0\.05 s"):
        future.result(5.0)
    wait_for(lambda: incoming.cancelled)


def test_timer_of_an_answered_call_is_forgotten(opened: Wire) -> None:
    future = opened.call(timeout=3600.0)
    opened.worker.reply(opened.take(), Reply(1))
    future.result(5.0)
    opened.settled()

    until(lambda: len(opened.io._timers) == 0)


def test_lost_site_fails_open_and_later_calls_until_it_is_open_again(opened: Wire) -> None:
    fault = Fault("lost", message="node died", job_id="7", state="FAILED", exit_code=9, stderr_tail="boom")
    before = opened.call("a")
    opened.take()
    opened.server.lose("site-1", fault)
    after = opened.call("b")
    for future in (before, after):
        with pytest.raises(SiteLost, match=r"job 7, FAILED, exit code 9\): node died") as caught:
            future.result(0)
        assert (caught.value.site, caught.value.stderr_tail) == ("site-1", "boom")
    opened.server.open("site-1")
    again = opened.call("c")
    opened.worker.reply(opened.take(), Reply(3))

    assert again.result(5.0) == 3


def test_no_call_is_forgotten_when_its_site_is_lost_meanwhile(opened: Wire) -> None:
    futures: list[Future[Any]] = []

    def call() -> None:
        futures.extend(opened.call() for _ in range(300))

    caller = threading.Thread(target=call)
    caller.start()
    while not futures and caller.is_alive():
        time.sleep(0)
    opened.server.lose("site-1", Fault("lost"))
    caller.join()

    assert {type(future.exception(5.0)) for future in futures} == {SiteLost}
    assert repr(opened.server).startswith("<Cell server · 0 open")


def test_abort_gives_up_every_call(wire: Wire) -> None:
    wire.server.open("site-1")
    running, waiting = wire.call(), wire.server.start(Call("f"), ["site-2"])[0].future
    incoming = wire.take()
    wire.server.abort()
    for future in (running, waiting):
        with pytest.raises(CallCancelled, match="the run was cancelled"):
            future.result(0)
    wait_for(lambda: incoming.cancelled)


def test_answer_that_cannot_be_encoded_is_an_error_answer_at_once(opened: Wire) -> None:
    future = opened.call()
    opened.worker.reply(opened.take(), Reply({"model": object()}))
    with pytest.raises(RemoteError, match=r"CodecError: \$\.result\.model: a value of type builtins.object"):
        future.result(5.0)


def test_fault_with_text_that_is_not_unicode_arrives(opened: Wire) -> None:
    future = opened.call()
    opened.worker.reply(opened.take(), Reply(fault=Fault("remote", "OSError", "no file \udcff")))
    with pytest.raises(RemoteError, match=r"no file \\udcff"):
        future.result(5.0)


def test_argument_that_cannot_be_encoded_is_told_before_anything_is_sent(opened: Wire) -> None:
    with pytest.raises(CodecError, match=r"\$\.args\[0\]"):
        opened.call("f", object())
    opened.settled()

    assert opened.down.came == []


def test_first_answer_counts(opened: Wire) -> None:
    future = opened.call()
    incoming = opened.take()
    opened.worker.reply(incoming, Reply(1))
    opened.worker.reply(incoming, Reply(2))
    opened.settled()

    assert (future.result(0), opened.up.came.count("reply"), opened.worker.kept) == (1, 1, 0)


def test_call_that_was_answered_before_it_began_does_not_run(opened: Wire) -> None:
    future = opened.call()
    opened.settled()
    for incoming in opened.worker.running():
        opened.worker.reply(incoming, Reply(fault=Fault("remote", "Dead", "this job ends")))

    assert opened.has_nothing_to_do()
    with pytest.raises(RemoteError, match="this job ends"):
        future.result(5.0)


def test_answer_is_what_it_was_though_the_array_changes_later(opened: Wire) -> None:
    weights = np.zeros(1000)
    future = opened.call()
    opened.worker.reply(opened.take(), Reply(weights))
    weights += 1

    assert future.result(5.0).sum() == 0


MALFORMED = [
    [], [b""], [b"\xc1"], codec.encode(None), codec.encode({"head": 1}),
    codec.encode({"head": ["f", "s", "all"]}),
    codec.encode({"head": [1, "s", "all"], "args": [], "kwargs": {}}),
    codec.encode({"head": ["f", "s", "some"], "args": [], "kwargs": {}}),
    codec.encode({"head": ["f", "s", [1]], "args": [], "kwargs": {}}),
    codec.encode({"head": ["f", "s", "all"], "args": 5, "kwargs": {}}),
    codec.encode({"head": ["f", "s", "all"], "args": [], "kwargs": [1]}),
    codec.encode({"head": ["f", "s", "all"], "args": [], "kwargs": {1: 2}}),
    codec.encode({"fault": {"kind": "nonsense"}, "result": None}), codec.encode({"fault": 1, "result": None}),
    codec.encode({"fault": {"no": 1}, "result": 1}),
]  # fmt: skip


def test_call_that_cannot_be_read_is_answered_with_an_error(wire: Wire) -> None:
    for number, frames in enumerate(MALFORMED):
        head = envelope.seal("call", channel.CALL, id=str(number), origin="server", target=WORKER)
        wire.listening.send(WORKER, [head, *frames])

    assert wire.has_nothing_to_do()
    wire.settled()
    assert wire.up.came == ["reply"] * len(MALFORMED)
    until(lambda: wire.worker.kept == 0)


def test_answer_that_cannot_be_read_fails_its_call(opened: Wire) -> None:
    for frames in MALFORMED:
        pending = opened.server.start(Call("f"), ["site-1"])[0]
        head = envelope.seal("reply", channel.CALL, id=pending.call_id, origin=WORKER, target="server")
        opened.link.send("", [head, *frames])
        with pytest.raises(RemoteError, match="CodecError"):
            pending.future.result(5.0)


def test_callback_that_raises_or_calls_again_does_not_stop_the_wire(opened: Wire) -> None:
    again: list[Future[Any]] = []

    def callback(future: Future[Any]) -> None:
        again.append(opened.call("second"))
        raise ValueError("this callback raises on purpose")

    first = opened.call("first")
    first.add_done_callback(callback)
    opened.worker.reply(opened.take(), Reply(1))
    second = opened.take()
    opened.worker.reply(second, Reply(2))

    assert (second.call.func, again[0].result(5.0)) == ("second", 2)


def test_future_that_its_owner_cancelled_stands_a_late_answer(opened: Wire) -> None:
    future = opened.call()
    incoming = opened.take()
    future.cancel()
    opened.worker.reply(incoming, Reply(1))
    opened.settled()

    assert (future.cancelled(), opened.worker.kept) == (True, 0)


def test_closed_link_leaves_the_call_open_for_whoever_ends_it(opened: Wire) -> None:
    opened.listening.close()
    future = opened.call()

    assert not future.done()
    opened.server.lose("site-1", Fault("lost"))
    assert isinstance(future.exception(0), SiteLost)


def test_all_targets_get_the_same_encoded_arguments() -> None:
    sent: dict[str, list[Any]] = {}
    cell = Cell("server", sent.__setitem__, lambda delay_s, action: lambda: None, reachable=["a", "b"])
    cell.start(Call("f", (np.arange(10.0),)), ["a", "b"])
    first, second = sent["a.app.worker.0"], sent["b.app.worker.0"]

    assert all(one is other for one, other in zip(first[1:], second[1:], strict=True))
    assert envelope.read(first[0]).id != envelope.read(second[0]).id


def test_cells_are_named_by_site_and_rank() -> None:
    assert [worker_cell("server"), worker_cell("s", 2), relay_cell("s")] == [
        "server",
        "s.app.worker.2",
        "s.app",
    ]


def test_memory_of_settled_calls_is_bounded() -> None:
    answers = Answers()
    for number in range(REMEMBERED + 10):
        incoming = answers.take(str(number), "server", [])
        assert isinstance(incoming, Incoming)
        answers.answer(incoming, Answer(str(number), "server", Parcel([], ["server"])))
        answers.acknowledged(str(number), "server")

    assert answers.take(str(REMEMBERED), "server", []) is None
    assert isinstance(answers.take("0", "server", []), Incoming)


def test_calls_cross_zmq_links(net: Any) -> None:
    up, down = End(), End()
    opened = Ear()
    listening = net.listen(up)
    up.cell = server = Cell("server", listening.send, net.server.call_later)
    down.cell = worker = Cell(WORKER, lambda target, frames: link.send("", frames), net.client.call_later)
    up.on_up = lambda: (server.open("site-1"), opened.note("up"))[1]
    model = np.arange(1 << 17, dtype=np.float32)
    future = server.start(Call("train", (model,)), ["site-1"])[0].future
    link = net.dial(listening.url, WORKER, down)
    opened.wait_messages(1)
    incoming = worker.take(5.0)
    assert incoming is not None
    (received,), frame = incoming.call.args, np.frombuffer(memoryview(incoming.frames[1]), np.uint8)

    assert received.flags.writeable
    assert received.__array_interface__["data"] == frame.__array_interface__["data"]
    worker.reply(incoming, Reply(received * 2))

    assert np.array_equal(future.result(5.0), model * 2)
