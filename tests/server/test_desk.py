"""The server's end of the wire: who can be called, and what a job's end does to open calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fox_hpc.call import Call
from fox_hpc.errors import SiteLost
from fox_hpc.metric import Point
from fox_hpc.server.desk import News, SiteDesk
from fox_hpc.wire import channel, codec, envelope
from fox_hpc.wire.memory_link import MemoryIo, MemoryLink

NEWS = News("site-1", "slurm", "7", 1, "RUNNING", False, "", "node1", None, "/logs", "", False, "")


class Relay:
    """What the relay's end of the link hears and says."""

    def __init__(self) -> None:
        self.heard: list[envelope.Envelope] = []
        self.news = threading.Condition()

    def received(self, link: Any, peer: str, frames: list[Any]) -> None:
        with self.news:
            self.heard.append(envelope.read(frames[0]))
            self.news.notify_all()

    def peer_changed(self, link: Any, peer: str, up: bool) -> None:
        with self.news:
            self.news.notify_all()

    def wait_for(self, kind: str) -> envelope.Envelope:
        with self.news:
            assert self.news.wait_for(lambda: [head for head in self.heard if head.kind == kind], 5)
            return next(head for head in self.heard if head.kind == kind)


class Board:
    """Keeps what the desk tells."""

    def __init__(self) -> None:
        self.sites: dict[str, dict[str, Any]] = {}
        self.points: list[tuple[str, list[Point]]] = []
        self.told = threading.Event()

    def change_site(self, site: str, **fields: Any) -> None:
        self.sites.setdefault(site, {}).update(fields)
        self.told.set()

    def track(self, site: str, points: list[Point], /) -> None:
        self.points.append((site, points))
        self.told.set()


class Setup:
    """A desk and a relay, joined in memory."""

    def __init__(self) -> None:
        self.io = MemoryIo()
        self.desk, self.relay, self.board = SiteDesk(self.io.call_later), Relay(), Board()
        self.desk.board = self.board
        listening = self.io.listen(self.desk)
        self.desk.attach(listening)
        self.desk.expect("site-1", "relay")
        self.link: MemoryLink = self.io.dial(listening.url, "relay", self.relay)

    def say(self, kind: str, lane: str, value: Any, origin: str = "site-1.app.worker.0") -> None:
        head = envelope.seal(kind, lane, origin=origin, target="server")
        self.link.send("", [head, *codec.encode(value)])

    def tell(self, **changed: Any) -> None:
        self.say("event", channel.WORKER, {**msgspec.to_builtins(NEWS), **changed}, origin="site-1.app")


@pytest.fixture
def setup() -> Iterator[Setup]:
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


def test_points_of_metrics_reach_the_board(setup: Setup):
    setup.say("log", channel.METRICS, [["loss", 0.5, 3, 1.0]])
    assert setup.board.told.wait(5)

    assert setup.board.points == [("site-1", [Point("loss", 0.5, 3, 1.0)])]


def test_a_relay_that_joins_late_is_asked_to_end_its_sites(setup: Setup):
    setup.desk.finish()
    setup.relay.heard.clear()
    setup.say("join", channel.WORKER, None, origin="relay")

    assert setup.relay.wait_for("shutdown").target == "site-1.app"


def test_a_relay_cannot_speak_for_a_site_of_another(setup: Setup):
    setup.desk.expect("site-2", "relay-2")
    setup.say("ready", channel.WORKER, {}, origin="site-2.app.worker.0")
    setup.say("ready", channel.WORKER, {})
    assert setup.board.told.wait(5)

    assert "site-2" not in setup.board.sites


def test_the_end_is_reached_when_every_job_has_ended(setup: Setup):
    assert not setup.desk.wait_ended(0)
    setup.tell(state="DONE", final=True)

    assert setup.desk.wait_ended(5)
