"""The server's end of the wire: who can be called, and what a job's end does to open calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from relayed import NEWS, WELCOME, WORKER, Relay, Setup

from fox_hpc.call import Call
from fox_hpc.errors import SiteLost
from fox_hpc.metric import Point
from fox_hpc.wire import channel, codec, envelope, handshake
from fox_hpc.wire.call_codec import write_call
from fox_hpc.wire.handshake import Join, Refuse, Welcome


@pytest.fixture
def setup() -> Iterator[Setup]:
    """A desk and a relay that has joined."""
    made = Setup()
    made.join()
    made.relay.wait_for("welcome")
    made.relay.heard.clear()
    yield made
    made.io.close()


@pytest.fixture
def early() -> Iterator[Setup]:
    """A desk and a relay that has not said anything yet."""
    made = Setup()
    yield made
    made.io.close()


def test_a_call_waits_until_a_worker_is_ready(setup: Setup):
    setup.desk.cell.start(Call("train"), ["site-1"])
    assert setup.relay.heard == []
    setup.say("ready", channel.WORKER, {})

    assert setup.relay.wait_for("call").target == "site-1.app.worker.0"
    assert setup.board.sites["site-1"]["ready"] is True


def test_open_and_later_calls_fail_with_how_the_job_ended(setup: Setup):
    setup.say("ready", channel.WORKER, {})
    pending = setup.desk.cell.start(Call("train"), ["site-1"])[0]
    setup.relay.wait_for("call")
    setup.tell(state="FAILED", final=True, exit_code=137, reason="NonZeroExitCode", stderr_tail="Killed")

    for future in (pending.future, setup.desk.cell.start(Call("train"), ["site-1"])[0].future):
        error = future.exception(5)
        assert isinstance(error, SiteLost)
        assert (error.job_id, error.state, error.exit_code, error.stderr_tail) == (
            "7",
            "FAILED",
            137,
            "Killed",
        )


def test_news_of_a_job_reach_the_board(setup: Setup):
    setup.tell(nodes="node[1-2]")
    assert setup.board.told.wait(5)

    shown = setup.board.sites["site-1"]
    assert (shown["state"], shown["job_id"], shown["nodes"]) == ("RUNNING", "7", "node[1-2]")


def test_tracked_entries_reach_the_board_and_are_acknowledged(setup: Setup):
    setup.log("1", Point("loss", 0.5, 3, 1.0), dropped=4, attempt=2)

    ack = setup.relay.wait_for("ack")
    assert (ack.channel, ack.id, ack.target, ack.attempt) == (channel.METRICS, "1@0", WORKER, 2)
    assert setup.board.entries == [("site-1", Point("loss", 0.5, 3, 1.0))]
    assert setup.board.dropped == {("site-1", 2): 4}


def test_a_batch_counts_once_and_in_order(setup: Setup):
    for id, value in (("2", 2.0), ("1", 1.0), ("1", 1.0), ("2", 2.0), ("1", 1.0)):
        setup.log(id, Point("loss", value, None, 1.0))
    setup.refused()

    assert [entry.value for _, entry in setup.board.entries] == [1.0, 2.0]
    assert [head.id for head in setup.relay.heard if head.kind == "ack"] == [
        "0@0",
        "1@0",
        "1@0",
        "2@0",
        "2@0",
    ]


def test_a_new_attempt_counts_its_batches_from_the_beginning(setup: Setup):
    for attempt in (1, 2):
        setup.log("1", Point("loss", float(attempt), None, 1.0), attempt=attempt)
    setup.refused()

    assert [entry.value for _, entry in setup.board.entries] == [1.0, 2.0]


def test_a_relay_that_joins_late_is_asked_to_end_its_sites(early: Setup):
    early.desk.finish()
    early.join()

    assert early.relay.wait_for("shutdown").target == "site-1.app"


def test_a_relay_that_joins_when_all_is_over_is_told_so(early: Setup):
    early.desk.part()
    early.join()

    assert early.relay.wait_for("shutdown").id == "over"


def test_a_relay_is_told_what_the_run_is(early: Setup):
    early.join(run="")
    early.relay.wait_for("welcome")

    assert handshake.read(early.relay.frames["welcome"], Welcome) == WELCOME


@pytest.mark.parametrize("run", [None, "", "run-0"], ids=["no join", "a question", "another run"])
def test_what_a_relay_says_counts_for_nothing_until_it_has_joined_this_run(early: Setup, run: str | None):
    if run is not None:
        early.join(run=run)
    early.say("ready", channel.WORKER, {})
    early.tell()

    assert early.refused() == {}
    assert early.board.sites == {}


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"sites": ("site-2",)}, "name of another", "relay does not serve site-2 in this run, which has"),
        ({"sites": ()}, "name of another", "relay does not serve any site in this run"),
        ({"can": (), "package": "0.0.1"}, "cannot take part", "site-1 runs fox-hpc 0.0.1, which cannot do"),
    ],
)
def test_a_relay_that_may_not_join_is_told_why(early: Setup, changed: dict[str, Any], kind: str, words: str):
    early.join(**changed)
    early.relay.wait_for("refuse")
    early.say("ready", channel.WORKER, {})

    assert words in handshake.read(early.relay.frames["refuse"], Refuse).words
    assert early.refused() == {kind: 1}
    assert early.board.sites == {}


def test_a_relay_of_another_version_is_told_which_both_speak(early: Setup, caplog: pytest.LogCaptureFixture):
    for _ in range(3):
        early.link.send("", [msgspec.msgpack.encode([99, "join", {"new": "layout"}])])
    early.relay.wait_for("refuse")
    words = handshake.read(early.relay.frames["refuse"], Refuse).words

    assert words == (
        f"the other end speaks version 99 of the wire format, this end {envelope.WIRE_VERSION}: "
        "install the same fox-hpc on both"
    )
    assert early.refused() == {"another version": 3}
    assert sum(words in record.getMessage() for record in caplog.records) == 1


def test_a_relay_cannot_speak_for_a_site_of_another(setup: Setup):
    setup.say("ready", channel.WORKER, {}, origin="site-2.app.worker.0")
    setup.say("event", channel.WORKER, {**msgspec.to_builtins(NEWS), "site": "site-2"}, origin="site-1.app")
    setup.say("event", channel.WORKER, msgspec.to_builtins(NEWS), origin="site-2.app")

    assert setup.refused() == {"name of another": 3}
    assert setup.board.sites == {}


def test_a_site_cannot_answer_a_call_to_another(setup: Setup):
    other = setup.io.dial(setup.link.url, "relay-2", Relay())
    join = Join("0", ("site-2",), "run-1")
    for kind, value in (("join", msgspec.to_builtins(join)), ("ready", {})):
        origin = "relay-2" if kind == "join" else "site-2.app.worker.0"
        head = envelope.seal(kind, channel.WORKER, origin=origin, target="server")
        other.send("", [head, *codec.encode(value)])
    pending = setup.desk.cell.start(Call("train"), ["site-2"])[0]
    setup.say("reply", channel.CALL, {"fault": None, "result": "stolen"}, id=pending.call_id)

    assert setup.refused() == {"answer of another": 1}
    assert not pending.future.done()
    head = envelope.seal(
        "reply", channel.CALL, id=pending.call_id, origin="site-2.app.worker.0", target="server"
    )
    other.send("", [head, *codec.encode({"fault": None, "result": "own"})])
    assert pending.future.result(5) == "own"


def test_what_an_old_attempt_says_is_refused_and_told_once(setup: Setup, caplog: pytest.LogCaptureFixture):
    setup.tell(attempts=2)
    setup.say("ready", channel.WORKER, {}, attempt=2)
    pending = setup.desk.cell.start(Call("train"), ["site-1"])[0]
    for _ in range(3):
        setup.say("reply", channel.CALL, {"fault": None, "result": 1}, id=pending.call_id, attempt=1)

    assert setup.refused() == {"stale attempt": 3}
    assert not pending.future.done()
    assert sum("comes after attempt 2 began" in record.getMessage() for record in caplog.records) == 1
    setup.say("reply", channel.CALL, {"fault": None, "result": 2}, id=pending.call_id, attempt=2)
    assert pending.future.result(5) == 2


def test_a_site_reaches_the_server_and_no_other_site(setup: Setup):
    setup.say("call", channel.CALL, {}, id="1", target="site-2.app.worker.0")

    assert setup.refused() == {"target out of reach": 1}


def test_a_caller_is_who_the_key_says_and_not_who_it_says_it_is(setup: Setup):
    callers: list[str] = []

    def answer(call: Call, _: object) -> None:
        callers.append(call.caller)
        setup.desk.cell.stop()

    head = envelope.seal("call", channel.CALL, id="1", origin=WORKER, target="server")
    setup.link.send("", [head, *write_call(Call("f", caller="site-2"))])
    setup.desk.serve(answer)

    assert callers == ["site-1"]


@pytest.mark.parametrize(
    ("kind", "lane", "value"),
    [
        ("event", channel.WORKER, {"site": "site-1"}),
        ("event", channel.WORKER, 3),
        ("log", channel.METRICS, [["loss"]]),
        ("log", channel.METRICS, 7),
        ("join", channel.WORKER, {"sites": 3}),
    ],
)
def test_what_cannot_be_read_stops_nothing(setup: Setup, kind: str, lane: str, value: Any):
    setup.say(kind, lane, value, origin="site-1.app")
    assert setup.refused() == {}
    setup.tell()
    assert setup.board.told.wait(5)


def test_calls_to_a_site_that_was_expelled_fail_and_work_again_when_it_is_back(setup: Setup):
    setup.say("ready", channel.WORKER, {})
    pending = setup.desk.cell.start(Call("train"), ["site-1"])[0]
    setup.relay.wait_for("call")
    setup.desk.expel("site-1", "its key was revoked")
    error = pending.future.exception(5)

    assert isinstance(error, SiteLost)
    assert error.reason == "its key was revoked"
    assert setup.board.sites["site-1"]["state"] == "LOST"
    setup.relay.heard.clear()
    setup.join()
    setup.tell(ready=True)
    setup.refused()
    setup.desk.cell.start(Call("train"), ["site-1"])
    setup.relay.wait_for("call")


def test_the_end_is_reached_when_every_job_has_ended(setup: Setup):
    assert not setup.desk.wait_ended(0)
    setup.tell(state="DONE", final=True)

    assert setup.desk.wait_ended(5, met_only=True)
    assert not setup.desk.wait_ended(0)
    setup.desk.expel("site-2", "gone")
    assert setup.desk.wait_ended(0)
