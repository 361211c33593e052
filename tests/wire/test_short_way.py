"""The short way: what is small goes over the data connection, in order and once, and else by the link.

Over real links, a relay's pump and data connections. `seen` is what the relay could read.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from chain import Chain, Place, Site
from data_ends import on
from relayed import NEWS
from tcp_proxy import Harm
from waiting import wait_for

from fox_hpc.call import Call
from fox_hpc.errors import CallCancelled
from fox_hpc.wire import channel, envelope
from fox_hpc.wire.cell import Incoming, worker_cell
from fox_hpc.wire.data_frames import HEADER_BYTES
from fox_hpc.wire.data_message import MOST_MESSAGE_BYTES
from fox_hpc.wire.envelope import Envelope

WORKER = worker_cell("site-1")
LARGE = b"x" * (MOST_MESSAGE_BYTES + 1)


class Watched(Chain):
    """A chain of one site, which writes down what was run, and what the relay could read of calls."""

    def __init__(self, folder: Path, answer: Callable[[Any], Any], **options: Any) -> None:
        self.ran: list[Any] = []
        self.seen: list[str] = []
        self.delay_s = 0.0
        self._run = answer
        super().__init__(folder, self._answer, sites=1, mangle=self._mangle, **options)

    def _answer(self, site: Site, incoming: Incoming) -> Any:
        value = incoming.call.args[0]
        self.ran.append(value)
        return self._run(value)

    def _mangle(self, head: Envelope) -> list[float]:
        if head.channel == channel.CALL or head.kind == "shutdown":
            self.seen.append(head.kind)
        return [self.delay_s if head.kind == "call" else 0.0]

    @property
    def site(self) -> Site:
        return self.sites["site-1"]

    def meet(self) -> None:
        """Wait until there is a data connection, as both ends see it."""
        wait_for(lambda: self.site.up._parcels.is_up("server") and self.parcels.is_up(WORKER))

    def warm_up(self) -> None:
        """Meet, and wait until the beginning is over, in which what is open or kept is sent again."""
        self.meet()
        # By the link, and so after all that was said on it in the beginning.
        self.echo(LARGE)
        wait_for(self._is_quiet)
        self.ran.clear()

    def _is_quiet(self) -> bool:
        self.seen.clear()
        return self.echo(0) == 0 and not self.seen

    def start(self, value: Any) -> Future[Any]:
        (future,) = self.call("f", value)
        return future

    def echo(self, value: Any) -> Any:
        return self.start(value).result(20)


def same(value: Any) -> Any:
    return value


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path, same) as made:
        yield made


def test_small_calls_and_answers_pass_the_relay_unread(chain: Watched) -> None:
    chain.warm_up()
    assert [chain.echo(number) for number in range(50)] == list(range(50))

    assert chain.ran == list(range(50))
    assert chain.seen == []


def test_so_do_calls_of_a_site(tmp_path: Path) -> None:
    with Watched(tmp_path, same, serve=lambda call: call.args[0] + 1) as chain:
        chain.warm_up()
        cell = chain.site.up.cell
        answers = [
            cell.start(Call("g", (number,)), ["server"])[0].future.result(20) for number in range(1, 20)
        ]

        assert answers == list(range(2, 21))
        # The first answer of the server shows itself; nothing else does.
        assert chain.seen == ["reply"]


def test_what_is_larger_goes_by_the_link(chain: Watched) -> None:
    chain.warm_up()
    assert chain.echo(LARGE) == LARGE
    assert {"call", "reply"} <= set(chain.seen)


def test_the_relay_sees_that_a_worker_answers(chain: Watched) -> None:
    chain.meet()
    chain.echo(1)
    assert "reply" in chain.seen
    chain.warm_up()
    chain.restart_relay()
    chain.echo(2)

    wait_for(lambda: "reply" in chain.seen, what="another relay sees it too")


def test_without_a_data_port_everything_goes_by_the_link(chain: Watched) -> None:
    chain.proxies["relay data"].close()
    assert [chain.echo(number) for number in range(5)] == list(range(5))

    assert chain.seen.count("call") >= 5


def test_a_call_does_not_overtake_one_that_went_by_the_link(chain: Watched) -> None:
    chain.delay_s = 0.3
    first = chain.start(1)
    chain.meet()
    later = [chain.start(number) for number in (2, 3)]

    assert [future.result(20) for future in (first, *later)] == [1, 2, 3]
    assert chain.ran == [1, 2, 3]
    assert chain.seen.count("call") >= 3


def test_a_call_that_takes_the_link_does_not_overtake_one_that_went_the_short_way(chain: Watched) -> None:
    chain.warm_up()
    chain.proxies["relay data"].stall("down")
    small = [chain.start(number) for number in (1, 2)]

    assert chain.echo(LARGE) == LARGE
    assert [future.result(20) for future in small] == [1, 2]
    assert chain.ran == [1, 2, LARGE]


def test_a_call_with_which_the_connection_breaks_is_sent_by_the_link(chain: Watched) -> None:
    chain.warm_up()

    def start() -> Future[Any]:
        # On the I/O thread, which so has not heard of it before the call is written.
        connection = chain.parcels._peers[WORKER]._connection
        assert connection is not None
        assert connection._stream is not None
        connection._stream._sock.shutdown(socket.SHUT_WR)
        return chain.start("written in vain")

    assert on(chain.io, start).result(5) == "written in vain"
    assert chain.ran == ["written in vain"]
    assert chain.echo("the next") == "the next"


@pytest.mark.parametrize("place", ["relay data", "server data"])
@pytest.mark.parametrize(
    "harm",
    [Harm(kind, way, at) for kind in ("cut", "stall", "corrupt") for way, at in (("up", 700), ("down", 900))],  # type: ignore[arg-type]
    ids=str,
)
def test_what_a_broken_connection_has_lost_is_sent_by_the_link(
    tmp_path: Path, place: Place, harm: Harm
) -> None:
    with Watched(tmp_path, same, harms={place: [harm]}) as chain:
        chain.meet()
        for number in range(0, 30, 3):
            together = [chain.start(one) for one in range(number, number + 3)]
            assert [future.result(20) for future in together] == list(range(number, number + 3))

        assert harm.done, f"{harm}"
        assert chain.ran == list(range(30)), "once, and in order"


@pytest.mark.parametrize(
    "harm",
    [Harm("cut", "up", 900), Harm("stall", "up", 900), Harm("cut", "down", 900)],
    ids=str,
)
def test_so_are_the_calls_of_a_site(tmp_path: Path, harm: Harm) -> None:
    served: list[int] = []

    def serve(call: Call) -> int:
        served.append(call.args[0])
        return call.args[0] + 1

    with Watched(tmp_path, same, serve=serve, harms={"relay data": [harm]}) as chain:
        chain.meet()
        cell = chain.site.up.cell
        for number in range(20):
            assert cell.start(Call("g", (number,)), ["server"])[0].future.result(20) == number + 1

        assert harm.done, f"{harm}"
        assert served == list(range(20)), "once, and in order"


def test_giving_up_goes_where_the_call_went(tmp_path: Path) -> None:
    may_go, came = threading.Event(), threading.Event()

    def answer(value: Any) -> Any:
        if value == "slow":
            came.set()
            may_go.wait(20)
        return value

    with Watched(tmp_path, answer) as chain:
        chain.warm_up()
        pending = chain.cell.start(Call("f", ("slow",)), ["site-1"])
        never = chain.start("never")
        assert came.wait(20)
        chain.cell.cancel(pending)
        assert isinstance(pending[0].future.exception(1.0), CallCancelled)
        wait_for(lambda: chain.site.up.cell.running()[0].cancelled)

        assert chain.seen == []
        may_go.set()
        assert never.result(20) == "never"


def test_the_order_to_end_does_not_overtake_a_call_that_nobody_waits_for(chain: Watched) -> None:
    chain.warm_up()
    proxy = chain.proxies["relay data"]
    proxy.stall("down")
    chain.start("last")
    chain.desk.finish()

    wait_for(lambda: chain.ran == ["last"] and "shutdown" in chain.seen)
    assert chain.seen.index("call") < chain.seen.index("shutdown")


def test_an_answer_that_is_here_counts_although_its_job_has_ended(chain: Watched) -> None:
    chain.warm_up()
    future: Future[Any] = chain.start("before the end")

    def end() -> None:
        # On the I/O thread: what comes meanwhile waits in the socket.
        wait_for(lambda: chain.ran == ["before the end"])
        connection = chain.parcels._peers[WORKER]._connection
        assert connection is not None
        assert connection._stream is not None
        sock = connection._stream._sock
        # Asking whether we are there takes whole headers; an answer does not.
        wait_for(lambda: peeked(sock) % HEADER_BYTES)
        news = {**{name: getattr(NEWS, name) for name in NEWS.__struct_fields__}, "final": True}
        chain.desk._event("site-1", {**news, "state": "FAILED"})

    on(chain.io, end)
    assert future.result(5) == "before the end"


def peeked(sock: socket.socket) -> int:
    try:
        return len(sock.recv(65536, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


def say(chain: Watched, frames: Sequence[bytes]) -> None:
    """Let the worker say something on its data connection."""
    parcels = chain.site.up._parcels
    on(chain.site.io, lambda: parcels.say("server", frames, lambda: None))


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        (
            "name of another",
            [envelope.seal("reply", channel.CALL, id="1", origin=worker_cell("site-2"), target="server")],
        ),
        ("name of another", [envelope.seal("ready", channel.WORKER, origin=WORKER, target="server")]),
        (
            "target out of reach",
            [envelope.seal("call", channel.CALL, id="1", origin=WORKER, target=worker_cell("site-2"))],
        ),
        ("unreadable", [b"no envelope"]),
    ],
    ids=["another's name", "another lane", "another target", "unreadable"],
)
def test_what_may_not_come_on_it_is_refused_and_the_rest_goes_on(
    chain: Watched, kind: str, frames: list[bytes]
) -> None:
    chain.warm_up()
    say(chain, frames)
    wait_for(lambda: chain.cell.refusals.counts().get(kind) == 1)

    assert chain.echo(1) == 1
    assert chain.seen == []


def test_a_stale_attempt_is_not_believed_on_it(chain: Watched) -> None:
    chain.next_attempt("site-1")
    chain.warm_up()
    head = envelope.seal("reply", channel.CALL, id="1", origin=WORKER, target="server", attempt=1)
    say(chain, [head])
    wait_for(lambda: chain.cell.refusals.counts().get("stale attempt") == 1)

    assert chain.echo(1) == 1
