"""Two cells that share a session get each other's blobs, whatever becomes of their connections."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator

import pytest
from data_ends import HASTY, DataEnds, closed_by_other, on, plain, until
from tcp_proxy import Harm, TcpProxy

from fox_hpc.errors import BlobError
from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.data_frames import WELCOME_BYTES, hello
from fox_hpc.wire.data_peer import DataPeer
from fox_hpc.wire.pulls import PeerGone

SIZE = 3 * CHUNK_BYTES + 7


@pytest.fixture
def ends() -> Iterator[DataEnds]:
    made = DataEnds()
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[DataEnds]:
    """Ends that give up soon."""
    made = DataEnds(HASTY)
    yield made
    made.close()


def through(ends: DataEnds, *harms: Harm) -> TcpProxy:
    """Let the worker dial by way of a proxy."""
    proxy = TcpProxy(lambda: ends.port.port, harms)
    ends.dial(proxy.port)
    return proxy


def test_both_ends_get_what_the_other_holds(ends: DataEnds) -> None:
    ends.dial()
    down, up = ends.shelf.put(SIZE), ends.worker_shelf.put(SIZE)

    assert ends.fetch(down).result(10) == plain(down)
    assert ends.fetch(up, up=True).result(10) == plain(up)
    until(ends.server_io, lambda: ends.shelf.had == [down.id])
    until(ends.worker_io, lambda: ends.worker_shelf.had == [up.id])


def test_nothing_is_dialled_before_it_is_needed(ends: DataEnds) -> None:
    proxy = through(ends)
    on(ends.worker_io, lambda: None)
    assert proxy.count == 0
    holder = ends.shelf.put(SIZE)
    ends.fetch(holder).result(10)

    assert proxy.count == 1
    proxy.close()


def test_what_is_wanted_before_there_is_a_way_waits_for_it(ends: DataEnds) -> None:
    holder = ends.shelf.put(SIZE)
    future = ends.fetch(holder)
    ends.dial()

    assert future.result(10) == plain(holder)


@pytest.mark.parametrize(
    "harm",
    [
        Harm("cut", "up", 3),
        Harm("cut", "down", 5),
        Harm("cut", "down", SIZE // 2),
        Harm("stall", "up", 20),
        Harm("stall", "down", 10),
        Harm("stall", "up", 150),
        Harm("stall", "down", SIZE // 2),
        Harm("corrupt", "up", 10),
        Harm("corrupt", "down", 12),
        Harm("corrupt", "down", 40),
        Harm("corrupt", "down", SIZE // 2),
        Harm("copy", "up", 300),
    ],
    ids=str,
)
def test_blob_arrives_though_its_connection_is_harmed(ends: DataEnds, harm: Harm) -> None:
    proxy = through(ends, harm)
    holder = ends.shelf.put(SIZE)

    assert ends.fetch(holder).result(10) == plain(holder)
    proxy.close()


@pytest.mark.parametrize("way", ["up", "down"])
def test_end_that_dialled_finds_that_a_connection_is_dead_though_it_asks_for_nothing(
    ends: DataEnds, way: str
) -> None:
    proxy = through(ends, Harm("stall", way, 200 if way == "up" else SIZE // 2))  # type: ignore[arg-type]
    holder = ends.worker_shelf.put(SIZE)

    assert ends.fetch(holder, up=True).result(10) == plain(holder)
    proxy.close()


def test_only_what_had_not_come_is_asked_for_again(ends: DataEnds) -> None:
    holder = ends.shelf.put(40 * CHUNK_BYTES)
    proxy = through(ends, Harm("cut", "down", 30 * CHUNK_BYTES))
    ends.fetch(holder).result(10)

    # From the beginning it would be 86.
    assert len(ends.shelf.asked) < 75
    proxy.close()


def test_connection_that_breaks_whenever_it_was_made_is_not_made_in_a_hurry(hasty: DataEnds) -> None:
    proxy = through(hasty)
    hasty.shelf.on_asked = proxy.cut
    holder = hasty.shelf.put(SIZE)
    future = hasty.fetch(holder)
    with pytest.raises(BlobError, match="nothing has come from server"):
        future.result(10)

    # 1.5 s of 20, 40, 80 and then 100 ms.
    assert proxy.count < 25
    proxy.close()


def test_port_that_cannot_be_reached_is_named_in_the_end(hasty: DataEnds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = nobody.getsockname()[1]
    hasty.dial(dead)

    with pytest.raises(BlobError, match=f"its data port 127.0.0.1:{dead} cannot be reached"):
        hasty.fetch(hasty.shelf.put(SIZE)).result(10)


def test_end_that_is_never_dialled_says_so_in_the_end(hasty: DataEnds) -> None:
    with pytest.raises(BlobError, match="no data connection to here"):
        hasty.fetch(hasty.worker_shelf.put(SIZE), up=True).result(10)


def test_blob_that_the_other_end_does_not_hold_fails_at_once(ends: DataEnds) -> None:
    ends.dial()
    holder = ends.shelf.put(SIZE)
    ends.shelf.blobs.clear()

    with pytest.raises(BlobError, match="does not hold these bytes"):
        ends.fetch(holder).result(10)


def test_other_address_is_dialled_at_once(ends: DataEnds) -> None:
    first = through(ends)
    ends.fetch(ends.shelf.put(SIZE)).result(10)
    second = through(ends)
    first.close()
    holder = ends.shelf.put(SIZE)

    assert ends.fetch(holder).result(10) == plain(holder)
    assert second.count == 1
    second.close()


def test_recorded_greeting_is_answered_and_not_believed(ends: DataEnds) -> None:
    ends.dial()
    ends.fetch(ends.shelf.put(SIZE)).result(10)
    connection = on(ends.server_io, lambda: ends.server._connection)
    said, _ = hello(ends.session)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", ends.port.port), 5) as stranger:
            stranger.sendall(said)
            assert len(stranger.recv(WELCOME_BYTES)) == WELCOME_BYTES
            assert on(ends.server_io, lambda: ends.server._connection) is connection
            assert closed_by_other(stranger)

    assert on(ends.server_io, lambda: ends.server._connection) is connection
    holder = ends.shelf.put(SIZE)
    assert ends.fetch(holder).result(10) == plain(holder)


def test_new_connection_takes_the_place_of_the_old_one(ends: DataEnds) -> None:
    ends.dial()
    ends.fetch(ends.shelf.put(SIZE)).result(10)
    before = on(ends.server_io, lambda: ends.server._connection)
    assert before is not None
    # The worker believes that its connection has broken; the server has not heard of that.
    worker_side = on(ends.worker_io, lambda: ends.worker._connection)
    assert worker_side is not None
    on(ends.worker_io, lambda: ends.worker._lost(worker_side))
    until(ends.server_io, lambda: ends.server._connection not in (None, before))

    until(ends.server_io, lambda: before.closed)
    holder = ends.worker_shelf.put(SIZE)
    assert ends.fetch(holder, up=True).result(10) == plain(holder)


def test_what_is_fetched_from_a_peer_that_is_gone_for_good_fails_so(ends: DataEnds) -> None:
    future = ends.fetch(ends.shelf.put(SIZE))
    on(ends.worker_io, ends.worker.close)

    with pytest.raises(PeerGone, match="server, who held these bytes, is gone"):
        future.result(10)
    ends.dial()
    on(ends.worker_io, ends.worker.wake)
    assert on(ends.worker_io, lambda: ends.worker._dialling) is None


def test_receiver_that_fails_leaves_the_others_their_blobs(ends: DataEnds) -> None:
    ends.dial()
    one, other = ends.shelf.put(SIZE), ends.shelf.put(SIZE)
    failing = ends.fetch(one)
    failing.set_result(b"")
    future = ends.fetch(other)

    assert future.result(10) == plain(other)


def test_peer_that_was_closed_is_kept_by_nothing(ends: DataEnds) -> None:
    ends.dial()
    ends.fetch(ends.shelf.put(SIZE)).result(10)
    gone = weakref.ref(on(ends.worker_io, lambda: ends.worker._connection))
    on(ends.worker_io, ends.worker.close)

    def kept() -> bool:
        gc.collect()
        return gone() is not None

    until(ends.worker_io, lambda: not kept())


def connect(ends: DataEnds) -> None:
    """Let the worker dial, and wait until both ends know it."""
    ends.dial()
    on(ends.worker_io, ends.worker.wake)
    until(ends.server_io, lambda: ends.server.is_up)
    until(ends.worker_io, lambda: ends.worker.is_up)


def never() -> None:
    raise AssertionError("there is a connection")


def test_small_messages_go_both_ways_in_order(ends: DataEnds) -> None:
    connect(ends)
    said = [[b"%d" % number, b"x" * number] for number in range(0, 6000, 17)]
    for frames in said:
        on(ends.server_io, lambda frames=frames: ends.server.say(frames, never))
        on(ends.worker_io, lambda frames=frames: ends.worker.say(frames, never))

    until(ends.worker_io, lambda: ends.worker_shelf.heard == said)
    until(ends.server_io, lambda: ends.shelf.heard == said)


def test_messages_that_leave_together_arrive_one_by_one(ends: DataEnds) -> None:
    connect(ends)
    said = [[b"%d" % number, b"x" * 3000] for number in range(200)]
    on(ends.server_io, lambda: [ends.server.say(frames, never) for frames in said])

    until(ends.worker_io, lambda: ends.worker_shelf.heard == said)


def test_a_message_finds_its_place_between_the_chunks_of_a_blob(ends: DataEnds) -> None:
    connect(ends)
    holder = ends.shelf.put(20 * CHUNK_BYTES)
    said: list[list[bytes]] = []

    def say() -> None:
        said.append([b"%d" % len(said)])
        ends.server.say(said[-1], never)

    ends.shelf.on_asked = say

    assert ends.fetch(holder).result(10) == plain(holder)
    until(ends.worker_io, lambda: ends.worker_shelf.heard == said)
    assert len(said) == 20


def test_without_a_connection_something_else_is_done(ends: DataEnds) -> None:
    done: list[str] = []
    on(ends.worker_io, lambda: ends.worker.say([b"x"], lambda: done.append("this")))

    assert done == ["this"]


def test_both_ends_are_told_that_messages_may_be_lost(ends: DataEnds) -> None:
    proxy = through(ends)
    on(ends.worker_io, ends.worker.wake)
    until(ends.server_io, lambda: ends.server.is_up)
    proxy.cut()

    until(ends.server_io, lambda: ends.shelf.breaks == 1)
    until(ends.worker_io, lambda: ends.worker_shelf.breaks == 1)
    proxy.close()


def test_who_is_dialled_anew_is_told_although_the_old_connection_seems_alive(ends: DataEnds) -> None:
    connect(ends)
    again = DataPeer(ends.worker_io, "server", ends.session, ends.worker_shelf)
    on(ends.worker_io, lambda: again.dial(("127.0.0.1", ends.port.port)))
    on(ends.worker_io, again.wake)

    until(ends.server_io, lambda: ends.shelf.breaks == 1)
    on(ends.worker_io, again.close)


def test_what_was_heard_before_the_end_can_still_be_taken(ends: DataEnds) -> None:
    connect(ends)
    on(ends.worker_io, lambda: ends.worker.say([b"last"], never))

    def take() -> list[list[bytes]]:
        until(ends.worker_io, lambda: True)
        while not ends.shelf.heard:
            ends.server.listen()
        return ends.shelf.heard

    assert on(ends.server_io, take) == [[b"last"]]
