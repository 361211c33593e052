"""The pump passes bytes on, unread, for those whose session a worker offered, and holds little of them."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from data_ends import SHORT, DataEnds, closed_by_other, on, plain, receive, sessions, until

from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.data_frames import HELLO_BYTES, hello
from fox_hpc.wire.data_pump import MOST_OF_ONE, DataPump, Pipe
from fox_hpc.wire.session import Session
from fox_hpc.wire.zmq_link import ZmqIo

BUDGET = 2**20


class Relay:
    """A pump that leads to a listening socket."""

    def __init__(self, most_spliced: int) -> None:
        self.io = ZmqIo()
        self.upstream = socket.create_server(("127.0.0.1", 0))
        self.upstream.settimeout(10.0)
        self.pump = DataPump(
            self.io, budget_bytes=BUDGET, host="127.0.0.1", times=SHORT, most_spliced=most_spliced
        )
        on(self.io, lambda: self.pump.lead_to(self.upstream.getsockname()))

    def dial(self, session: Session) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.pump.port), 10)
        sock.sendall(hello(session)[0])
        return sock

    def admit(self, owner: str = "site-1") -> Session:
        session, _ = sessions()
        on(self.io, lambda: self.pump.admit(owner, session.id.hex()))
        return session

    def through(self, session: Session) -> tuple[socket.socket, socket.socket]:
        """Give a connection's two ends; what was said in greeting has arrived."""
        down = self.dial(session)
        up, _ = self.upstream.accept()
        up.settimeout(10.0)
        assert len(receive(up, HELLO_BYTES)) == HELLO_BYTES
        return down, up

    def held(self) -> int:
        return sum(pipe.held for pipe in self.pump._pipes)

    def close(self) -> None:
        on(self.io, self.pump.shut)
        self.io.close()
        self.upstream.close()


@pytest.fixture(params=[pytest.param(100, id="spliced"), pytest.param(0, id="copied")])
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    made = Relay(request.param)
    yield made
    made.close()


def test_bytes_go_both_ways_as_they_are(relay: Relay) -> None:
    down, up = relay.through(relay.admit())
    for one, other in ((down, up), (up, down)):
        data = os.urandom(1_000_000)
        threading.Thread(target=one.sendall, args=(data,), daemon=True).start()
        assert receive(other, len(data)) == data
    down.close()
    up.close()


def test_small_pieces_and_large_ones_keep_their_order(relay: Relay) -> None:
    down, up = relay.through(relay.admit())
    pieces = [os.urandom(size) for size in (1, 100, 5_000, 60, 300_000, 60, 4096, 4095, 4097, 1) * 5]
    for one, other in ((down, up), (up, down)):
        for piece in pieces:
            # Each is alone on its way, so that every kind of piece follows every other.
            threading.Thread(target=one.sendall, args=(piece,), daemon=True).start()
            assert receive(other, len(piece)) == piece
    down.close()
    up.close()


def test_small_pieces_that_the_other_end_does_not_take_come_later(relay: Relay) -> None:
    down, up = relay.through(relay.admit())
    down.setblocking(False)
    sent, piece = bytearray(), os.urandom(1_009)
    deadline = time.monotonic() + 10.0
    stuck_s = 0.0
    while stuck_s < 0.5 and time.monotonic() < deadline:
        began = time.monotonic()
        try:
            sent += piece[: down.send(piece)]
            stuck_s = 0.0
        except BlockingIOError:
            select.select([], [down], [], 0.1)
            stuck_s += time.monotonic() - began

    assert stuck_s >= 0.5, "nothing holds the sender back"
    assert receive(up, len(sent)) == bytes(sent)
    down.close()
    up.close()


@pytest.mark.parametrize("end", ["down", "up"])
def test_when_one_end_goes_the_other_does_too(relay: Relay, end: str) -> None:
    down, up = relay.through(relay.admit())
    (down if end == "down" else up).close()

    assert closed_by_other(up if end == "down" else down)
    until(relay.io, lambda: not relay.pump._pipes)
    down.close()
    up.close()


def test_session_that_no_worker_has_offered_is_refused(relay: Relay) -> None:
    with relay.dial(sessions()[0]) as sock:
        assert closed_by_other(sock)

    assert relay.pump._port.refused == 1


def test_worker_that_is_gone_is_cut_off_and_not_let_in_again(relay: Relay) -> None:
    session = relay.admit()
    down, up = relay.through(session)
    on(relay.io, lambda: relay.pump.refuse("site-1"))

    assert closed_by_other(down)
    assert closed_by_other(up)
    with relay.dial(session) as sock:
        assert closed_by_other(sock)
    down.close()
    up.close()


def test_next_attempt_of_a_site_takes_the_place_of_the_one_before(relay: Relay) -> None:
    first = relay.admit()
    down, up = relay.through(first)
    second = relay.admit()
    again, up_again = relay.through(second)

    assert closed_by_other(down)
    again.sendall(b"x")
    assert up_again.recv(1) == b"x"
    for sock in (down, up, again, up_again):
        sock.close()


def test_site_cannot_take_another_ones_session(relay: Relay) -> None:
    session = relay.admit("site-1")
    on(relay.io, lambda: relay.pump.admit("site-2", session.id.hex()))
    on(relay.io, lambda: relay.pump.refuse("site-2"))
    down, up = relay.through(session)
    down.close()
    up.close()


@pytest.mark.parametrize("id", ["", "zz", "ff"])
def test_session_without_a_proper_id_lets_nobody_in(relay: Relay, id: str) -> None:
    on(relay.io, lambda: relay.pump.admit("site-1", id))

    with relay.dial(sessions()[0]) as sock:
        assert closed_by_other(sock)


def test_recorded_greeting_does_not_end_the_connection_that_is_there(relay: Relay) -> None:
    session = relay.admit()
    down, up = relay.through(session)
    copies = []
    for _ in range(MOST_OF_ONE + 3):
        # The one that is there is in use; of the others, the quietest goes.
        down.sendall(b"x")
        assert up.recv(1) == b"x"
        copies += relay.through(session)
    down.sendall(b"still here")

    assert receive(up, 10) == b"still here"
    assert on(relay.io, lambda: len(relay.pump._pipes)) == MOST_OF_ONE
    for sock in (down, up, *copies):
        sock.close()


def test_server_that_cannot_be_reached_ends_the_connection(relay: Relay) -> None:
    session = relay.admit()
    relay.upstream.close()
    with relay.dial(session) as sock:
        assert closed_by_other(sock)
    until(relay.io, lambda: not relay.pump._pipes)


def fill(*socks: socket.socket) -> int:
    """Write until nothing more is taken for a while; gives how many bytes were."""
    sent, still_since = 0, time.monotonic()
    for sock in socks:
        sock.setblocking(False)
    while time.monotonic() - still_since < 0.3:
        for sock in socks:
            try:
                sent += sock.send(bytes(2**16))
                still_since = time.monotonic()
            except BlockingIOError:
                continue
        time.sleep(0.001)
    return sent


def test_sender_is_held_back_while_the_receiver_reads_nothing(relay: Relay) -> None:
    down, up = relay.through(relay.admit())
    sent = fill(down)

    assert 0 < on(relay.io, relay.held) <= BUDGET
    assert len(receive(up, sent)) == sent
    down.close()
    up.close()


def test_budget_is_kept_by_those_who_come_when_others_have_filled_theirs(relay: Relay) -> None:
    pairs = [relay.through(relay.admit("site-0"))]
    fill(pairs[0][0])
    pairs += [relay.through(relay.admit(f"site-{number}")) for number in range(1, 12)]
    fill(*(down for down, _ in pairs))

    assert BUDGET // 8 < on(relay.io, relay.held) <= BUDGET
    for pair in pairs:
        for sock in pair:
            sock.close()


def pour(sock: socket.socket, over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not over.is_set():
            sock.sendall(bytes(2**18))


def test_two_workers_have_an_equal_share(relay: Relay) -> None:
    pairs = [relay.through(relay.admit(f"site-{number}")) for number in (1, 2)]
    counts, over = [0, 0], threading.Event()
    for down, _ in pairs:
        threading.Thread(target=pour, args=(down, over), daemon=True).start()
    selector = selectors.DefaultSelector()
    for number, (_, up) in enumerate(pairs):
        selector.register(up, selectors.EVENT_READ, number)
    while min(counts) < 2**25 and max(counts) < 2**30:
        for key, _ in selector.select(10.0):
            counts[key.data] += len(pairs[key.data][1].recv(2**18))
    over.set()

    assert max(counts) < 4 * min(counts)
    for pair in pairs:
        for sock in pair:
            sock.close()
    selector.close()


def test_blobs_go_through(relay: Relay) -> None:
    ends = DataEnds()
    on(relay.io, lambda: relay.pump.lead_to(("127.0.0.1", ends.port.port)))
    on(relay.io, lambda: relay.pump.admit("site-1", ends.session.id.hex()))
    ends.dial(relay.pump.port)
    down, up = ends.shelf.put(9 * CHUNK_BYTES + 1), ends.worker_shelf.put(9 * CHUNK_BYTES + 1)
    futures = [ends.fetch(down), ends.fetch(up, up=True)]

    assert [future.result(10) for future in futures] == [plain(down), plain(up)]
    assert on(relay.io, relay.held) <= BUDGET
    ends.close()


def test_pipe_that_was_closed_while_the_server_was_dialled_closes_what_came(relay: Relay) -> None:
    one, other = socket.socketpair()
    up, far = socket.socketpair()
    pipe = on(relay.io, lambda: Pipe(relay.pump, relay.io, bytes(16), one))
    on(relay.io, pipe.close)
    on(relay.io, lambda: pipe.start(up, b"greeting"))

    assert closed_by_other(other)
    assert closed_by_other(far)
    other.close()
    far.close()
