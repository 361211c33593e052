"""Calls that a site makes: passed on to another one in its name, or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from relayed import WORKER, Setup

from fox_hpc.call import Call
from fox_hpc.wire import channel, envelope
from fox_hpc.wire.call_codec import read_call, read_reply, write_call

OTHER = "site-2.app.worker.0"


class Passed(Setup):
    """A desk whose relay serves both sites, and on which calls are served."""

    def __init__(self) -> None:
        super().__init__()
        self.desk.expect("site-2", "relay")
        self.desk.cell.open("site-2")
        self.join(sites=("site-1", "site-2"))
        self.relay.wait_for("welcome")
        self.ran: list[str] = []
        self.thread = threading.Thread(target=self.desk.serve, args=(self.answer,))
        self.thread.start()

    def answer(self, call: Call, _: object) -> Any:
        self.ran.append(call.func)
        return call.caller

    def call(self, call: Call, id: str = "1") -> None:
        head = envelope.seal("call", channel.CALL, id=id, origin=WORKER, target="server", attempt=1)
        self.link.send("", [head, *write_call(call)])

    def passed_on(self) -> tuple[str, Call]:
        head = self.relay.wait_for("call")
        assert head.target == OTHER
        return head.id, read_call(self.relay.frames["call"])

    def fault(self) -> Any:
        self.relay.wait_for("reply")
        return read_reply(self.relay.frames["reply"]).fault


@pytest.fixture
def passed() -> Iterator[Passed]:
    made = Passed()
    yield made
    made.desk.cell.abort()
    made.desk.cell.stop()
    made.thread.join(5)
    made.io.close()


def test_a_call_is_passed_on_in_the_name_that_the_link_knows(passed: Passed) -> None:
    passed.call(Call("f", (1,), {"x": 2}, caller="site-9", to="site-2"))

    id, call = passed.passed_on()
    assert (call.func, call.args, call.kwargs, call.caller, call.to) == ("f", (1,), {"x": 2}, "site-1", "")
    passed.say("reply", channel.CALL, {"fault": None, "result": 3}, origin=OTHER, id=id)
    head = passed.relay.wait_for("reply")
    assert (head.target, head.id, read_reply(passed.relay.frames["reply"]).value) == (WORKER, "1", 3)
    assert passed.ran == []
    assert repr(passed.desk.waits) == "<Waits none>"


@pytest.mark.parametrize(("func", "to"), [("@final", "site-2"), ("f", "site-9"), ("f", "server")])
def test_what_no_site_may_call_is_refused(passed: Passed, func: str, to: str) -> None:
    passed.call(Call(func, to=to))

    assert f"there is no {func}() at '{to}'" in passed.fault().message


def test_a_ring_is_refused_and_named(passed: Passed) -> None:
    passed.call(Call("f", to="site-1"))

    assert (passed.fault().kind, passed.fault().known) == ("cycle", ["site-1"])


@pytest.mark.parametrize(
    "gone", [{"attempts": 2}, {"final": True, "state": "FAILED"}], ids=["another attempt", "no job"]
)
def test_what_a_job_asked_for_is_given_up_with_it(passed: Passed, gone: Any) -> None:
    passed.tell()
    passed.call(Call("f", to="site-2"))
    id, _ = passed.passed_on()
    passed.tell(**gone)

    cancelled = passed.relay.wait_for("cancel")
    assert (cancelled.id, cancelled.target) == (id, OTHER)


def test_a_call_that_is_cancelled_is_cancelled_where_it_was_passed_to(passed: Passed) -> None:
    passed.call(Call("f", to="site-2"))
    id, _ = passed.passed_on()
    passed.say("cancel", channel.CALL, None, id="1", attempt=1)

    assert passed.relay.wait_for("cancel").id == id


def test_a_timeout_is_looked_after_by_who_passes_a_call_on(passed: Passed) -> None:
    passed.call(Call("f", to="site-2", timeout=0.05))
    passed.passed_on()

    assert (passed.fault().kind, passed.fault().timeout_s) == ("timeout", 0.05)
