"""A relay's way to the server and its workers' way to the relay, over real sockets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import wait_for

from fox_hpc.environment import WorkerEnv
from fox_hpc.errors import NotAllowed, VersionMismatch
from fox_hpc.hpc.dialect import JobInfo
from fox_hpc.site.door import Door
from fox_hpc.site.relay import FoxExecutor
from fox_hpc.spec import RunSpec, SiteSpec, save_spec
from fox_hpc.testing.ear import Ear
from fox_hpc.wire import channel, codec, envelope, handshake
from fox_hpc.wire.handshake import Join, Refuse, Welcome
from fox_hpc.wire.keys import Keys, load_keys, load_public, make_keys, new_keys
from fox_hpc.wire.zmq_link import ZmqIo

WORKER = "site-1.app.worker.0"
WELCOME = Welcome("0", "run-1", "job", "Trainer", ("site-1",), 1)


class Server(Ear):
    """A server that answers each join as it is told to."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.io = ZmqIo()
        self.keys, self.relay = new_keys("server"), new_keys("relay")
        self.link = self.io.listen(self, self.keys, {"relay": self.relay.public}, host="127.0.0.1")
        self.kind, self.value, self.version = "welcome", msgspec.to_builtins(WELCOME), envelope.WIRE_VERSION
        self.joins: list[Join] = []

    def _answer(self, link: Any, peer: str, frames: list[bytes]) -> None:
        if envelope.read(frames[0]).kind == "join":
            self.joins.append(handshake.read(frames[1:], Join))
            head = [self.version, self.kind, "", channel.WORKER, "server", peer, 0]
            self.link.send(peer, [msgspec.msgpack.encode(head), *codec.encode(self.value)])

    def said(self, kind: str) -> list[envelope.Envelope]:
        """Give the envelopes of a kind that came from the relay."""
        heads = [envelope.read(frames[0]) for _, frames in self.messages]
        return [head for head in heads if head.kind == kind]

    def say(self, kind: str, **to: str) -> None:
        head = envelope.seal(kind, channel.WORKER, origin="server", **{"target": "site-1.app", **to})
        self.link.send("relay", [head])


class Jobs:
    """A launcher whose jobs are what the test says."""

    trouble = ""

    def __init__(self) -> None:
        self.workers: list[WorkerEnv] = []
        self.states: dict[str, str] = {}
        self.answers = threading.Event()
        self.answers.set()

    def submit(self, site: str, worker: WorkerEnv) -> str:
        self.workers.append(worker)
        self.states[str(worker.attempt)] = "RUNNING"
        self.answers.wait(20)
        return str(worker.attempt)

    def find(self, name: str) -> list[str]:
        return []

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        return {id: JobInfo(job_id=id, state=self.states[id]) for id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        self.states.update(dict.fromkeys(job_ids, "CANCELLED"))


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that welcomes."""
    made = Server()
    yield made
    made.io.close()


@pytest.fixture
def io() -> Iterator[ZmqIo]:
    """The I/O thread of the site's side."""
    made = ZmqIo(redial_s=0.2)
    yield made
    made.close()


def door(server: Server, io: ZmqIo, **more: Any) -> Door:
    return Door(io, [server.link.url], "relay", server.relay, server.keys.public, ["site-1"], **more)


@pytest.fixture
def away_s() -> float:
    """How long the server may be away."""
    return 60.0


@pytest.fixture
def relay(server: Server, io: ZmqIo, tmp_path: Path, away_s: float) -> Iterator[tuple[FoxExecutor, Jobs]]:
    """A relay that runs, with its jobs."""
    (tmp_path / "run-1").mkdir(mode=0o700)
    folder = str(tmp_path / "run-1")
    spec = RunSpec(
        "run-1", "job", folder, (SiteSpec("site-1"),), 1, "Trainer", "python", "local", (), poll_s=0.05
    )
    save_spec(spec)
    make_keys(tmp_path / "run-1" / "keys", ["relay"])
    jobs = Jobs()
    made = FoxExecutor(spec, jobs, io, door(server, io, away_s=away_s))
    thread = threading.Thread(target=made.run)
    thread.start()
    # Jobs are submitted at once; what a worker says before the door is open stays here.
    wait_for(lambda: made.door.open)
    yield made, jobs
    made.stop()
    thread.join()


def keys_of(worker: WorkerEnv) -> tuple[Keys, str]:
    folder = Path(worker.keys_dir)
    return load_keys(folder, "site-1"), load_public(folder)["relay"]


class Worker(Ear):
    """What a job's rank 0 says."""

    def __init__(self, io: ZmqIo, env: WorkerEnv) -> None:
        super().__init__()
        keys, relay_key = keys_of(env)
        self.link = io.dial(env.parent_urls[0], WORKER, self, keys, relay_key)

    def say(self, kind: str, attempt: int, target: str = "server", origin: str = WORKER) -> None:
        head = envelope.seal(kind, channel.WORKER, origin=origin, target=target, attempt=attempt)
        self.link.send("", [head])


def test_a_relay_asks_for_the_run_and_then_joins_it(server: Server, io: ZmqIo) -> None:
    assert door(server, io).wait(10) == WELCOME
    assert (server.joins[0].run, server.joins[0].sites) == ("", ("site-1",))


def test_a_relay_that_has_joined_tells_of_its_jobs(server: Server, relay: Any) -> None:
    wait_for(lambda: server.said("event"))

    assert server.joins[-1].run == "run-1"


def test_a_refusal_is_told_in_the_servers_words(server: Server, io: ZmqIo) -> None:
    server.kind, server.value = "refuse", msgspec.to_builtins(Refuse("site-1 is not in this run"))
    with pytest.raises(NotAllowed, match="site-1 is not in this run"):
        door(server, io).wait(10)


def test_a_server_that_is_there_before_the_door_is_made_is_joined(
    server: Server, io: ZmqIo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The I/O thread may be faster than the one that dials."""

    def dial(*words: Any) -> Any:
        link = ZmqIo.dial(io, *words)
        wait_for(lambda: server.joins)
        return link

    monkeypatch.setattr(io, "dial", dial)

    assert door(server, io).wait(10) is not None


def test_a_server_of_another_version_is_told_in_plain_words(server: Server, io: ZmqIo) -> None:
    server.version = 99
    with pytest.raises(
        VersionMismatch, match="server speaks version 99 of the wire format, this end 1: inst"
    ):
        door(server, io).wait(10)


def test_a_server_that_runs_something_else_ends_the_jobs(server: Server, relay: Any) -> None:
    executor, jobs = relay
    wait_for(lambda: jobs.states)
    server.value = {**server.value, "run": "run-2"}
    server.link.allow({})
    server.link.allow({"relay": server.relay.public})
    wait_for(lambda: executor.ended)

    assert executor.ended == "the server has begun another run, run-2"
    wait_for(lambda: jobs.states["1"] == "CANCELLED")


@pytest.mark.parametrize("away_s", [1.0])
def test_a_server_that_stays_away_ends_the_jobs(server: Server, relay: Any) -> None:
    executor, jobs = relay
    wait_for(lambda: jobs.states)
    server.link.close()
    wait_for(lambda: executor.ended)

    assert executor.ended == "the server was away for 1 s"
    wait_for(lambda: jobs.states["1"] == "CANCELLED")


def test_the_end_of_the_run_ends_the_relay(server: Server, relay: Any) -> None:
    executor, _ = relay
    wait_for(lambda: server.said("event"))
    server.say("shutdown", id="over", target="relay")
    wait_for(lambda: executor.ended)

    assert executor.ended == "over"


def test_an_attempt_has_keys_of_its_own_which_end_with_it(
    server: Server, relay: Any, caplog: pytest.LogCaptureFixture
) -> None:
    executor, jobs = relay
    wait_for(lambda: jobs.workers)
    first = Worker(server.io, jobs.workers[0])
    first.say("ready", 1)
    wait_for(lambda: server.said("ready"))
    with caplog.at_level(logging.WARNING):
        jobs.states["1"] = "PREEMPTED"
        wait_for(lambda: len(jobs.workers) == 2)
        # Its connection is cut, and its key opens nothing any more.
        first.wait_change("", False)
        wait_for(lambda: executor.io.refusals.counts().get("unlisted key"))
    old, new = keys_of(jobs.workers[0])[0], keys_of(jobs.workers[1])[0]
    second = Worker(server.io, jobs.workers[1])
    second.say("ready", 2)
    wait_for(lambda: len(server.said("ready")) == 2)

    assert old.public != new.public
    assert [head.attempt for head in server.said("ready")] == [1, 2]
    assert sum("is not on the list" in record.getMessage() for record in caplog.records) == 1


def test_a_worker_that_comes_before_the_schedulers_answer_is_told_the_data_port_and_heard(
    server: Server, relay: Any
) -> None:
    _, jobs = relay
    wait_for(lambda: jobs.workers)
    jobs.answers.clear()
    jobs.states["1"] = "PREEMPTED"
    wait_for(lambda: len(jobs.workers) == 2)
    worker = Worker(server.io, jobs.workers[1])
    wait_for(lambda: "data" in [envelope.read(frames[0]).kind for _, frames in worker.messages])
    worker.say("ready", 2)
    wait_for(lambda: server.said("ready"))
    jobs.answers.set()
    wait_for(lambda: server.said("event"))

    assert [head.attempt for head in server.said("ready")] == [2]


def test_what_a_worker_may_not_say_is_refused_once_counted_and_not_passed_on(
    server: Server, relay: Any, caplog: pytest.LogCaptureFixture
) -> None:
    executor, jobs = relay
    wait_for(lambda: jobs.workers)
    worker = Worker(server.io, jobs.workers[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            worker.say("reply", 7)
            worker.say("call", 1, target="site-2.app.worker.0")
            worker.say("reply", 1, origin="site-2.app.worker.0")
            worker.link.send("", [b"no envelope"])
        worker.say("ready", 1)
        wait_for(lambda: server.said("ready"))

    assert executor.io.refusals.counts() == {
        "stale attempt": 3,
        "target out of reach": 3,
        "name of another": 3,
        "unreadable": 3,
    }
    assert [head.kind for head in server.said("reply") + server.said("call")] == []
    assert len([record for record in caplog.records if record.getMessage().startswith("refused:")]) == 4


def test_a_worker_says_again_what_stayed_at_a_shut_door(server: Server, relay: Any) -> None:
    _, jobs = relay
    wait_for(lambda: jobs.workers)
    worker = Worker(server.io, jobs.workers[0])
    worker.wait_change("", True)
    server.link.allow({})
    server.wait_change("relay", False)
    server.link.allow({"relay": server.relay.public})
    worker.wait(lambda: any(envelope.read(frames[0]).kind == "welcome" for _, frames in worker.messages))
