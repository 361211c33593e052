"""Streams: exact pieces both ways, and one word when the other end is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from data_ends import closed_by_other, on, until

from fox_hpc.wire.stream import Stream
from fox_hpc.wire.zmq_link import ZmqIo


class Ends:
    """A stream and the socket at its other end."""

    def __init__(self) -> None:
        self.io = ZmqIo()
        listening = socket.create_server(("127.0.0.1", 0))
        self.far = socket.create_connection(listening.getsockname())
        near, _ = listening.accept()
        listening.close()
        self.lost = 0
        self.came: list[bytes] = []
        self.stream = on(self.io, lambda: Stream(self.io, near, self._lose))

    def _lose(self) -> None:
        self.lost += 1

    def expect(self, *sizes: int) -> None:
        """Write down pieces of these sizes, one after the other."""
        place = bytearray(sizes[0])

        def then() -> None:
            self.came.append(bytes(place))
            if sizes[1:]:
                self.expect(*sizes[1:])

        self.stream.expect(memoryview(place), then)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    on(made.io, made.stream.close)
    made.far.close()
    made.io.close()


def test_pieces_come_as_they_are_expected_however_they_were_sent(ends: Ends) -> None:
    data = os.urandom(300_000)
    on(ends.io, lambda: ends.expect(1, 79, 250_000, 1))
    ends.far.sendall(data[:40])
    until(ends.io, lambda: ends.stream.heard == 40)
    ends.far.sendall(data[40:])
    until(ends.io, lambda: len(ends.came) == 4)

    assert b"".join(ends.came) == data[:250_081]


@pytest.mark.parametrize("step", [1, 7, 4096, 30_000])
def test_pieces_are_given_and_places_are_filled_in_turn_however_they_were_sent(ends: Ends, step: int) -> None:
    sizes = [60, 5, 4096, 4097, 60, 2, 9000]
    data = os.urandom(sum(sizes))

    def go_on(number: int) -> None:
        if number == len(sizes):
            return
        place = bytearray(sizes[number])

        def filled() -> None:
            ends.came.append(bytes(place))
            go_on(number + 1)

        def given(piece: memoryview) -> None:
            ends.came.append(bytes(piece))
            go_on(number + 1)

        if number % 3 == 2:
            ends.stream.expect(memoryview(place), filled)
        else:
            ends.stream.expect_piece(sizes[number], given)

    on(ends.io, ends.stream.read_ahead)
    on(ends.io, lambda: go_on(0))
    for start in range(0, len(data), step):
        ends.far.sendall(data[start : start + step])
        if step > 1 or start < 300:
            until(ends.io, lambda start=start: ends.stream.heard == min(start + step, len(data)))  # type: ignore[misc]
    until(ends.io, lambda: len(ends.came) == len(sizes))

    assert [len(piece) for piece in ends.came] == sizes
    assert b"".join(ends.came) == data


def test_memory_of_a_place_is_free_once_it_is_filled(ends: Ends) -> None:
    place = bytearray(5)
    on(ends.io, ends.stream.read_ahead)
    on(
        ends.io,
        lambda: ends.stream.expect(memoryview(place), lambda: ends.stream.expect_piece(1, ends.came.append)),  # type: ignore[arg-type]
    )
    ends.far.sendall(b"12345")
    until(ends.io, lambda: ends.stream.heard == 5)

    # What is still looked at cannot grow.
    on(ends.io, lambda: place.append(6))
    assert place == b"12345\x06"


def test_small_writes_leave_in_order_between_large_ones(ends: Ends) -> None:
    parts = [os.urandom(size) for size in (3, 3_000_000, 5, 7, 2_000_000, 11)]

    def write() -> None:
        for part in parts:
            (ends.stream.write_small if len(part) < 100 else ends.stream.write)(part)

    on(ends.io, write)
    got = bytearray()
    while len(got) < sum(map(len, parts)):
        got += ends.far.recv(1 << 20)
    on(ends.io, lambda: ends.stream.write_small(b"last"))

    assert bytes(got) == b"".join(parts)
    assert ends.far.recv(100) == b"last"


def test_small_write_to_an_end_that_is_gone_tells_so(ends: Ends) -> None:
    ends.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    ends.far.close()

    def write() -> bool:
        ends.stream.write_small(b"one")
        return ends.lost == 1

    until(ends.io, write)
    assert on(ends.io, lambda: ends.stream.closed)


def test_what_is_written_leaves_in_order_though_nobody_reads_for_a_while(ends: Ends) -> None:
    parts = [os.urandom(size) for size in (1, 0, 5_000_000, 3, 2_000_000)]
    on(ends.io, lambda: ends.stream.write(*parts[:3]))
    on(ends.io, lambda: ends.stream.write(*parts[3:]))
    assert on(ends.io, lambda: ends.stream.busy)
    got = bytearray()
    while len(got) < 7_000_004:
        got += ends.far.recv(1 << 20)

    assert bytes(got) == b"".join(parts)
    until(ends.io, lambda: not ends.stream.busy)


def test_writing_nothing_writes_nothing(ends: Ends) -> None:
    on(ends.io, lambda: ends.stream.write(b"", b""))
    on(ends.io, lambda: ends.stream.write(b"x"))

    assert ends.far.recv(10) == b"x"


def test_refill_is_called_once_all_has_left_and_may_write_without_end(ends: Ends) -> None:
    left = iter([os.urandom(1000) for _ in range(5000)])
    sent = bytearray()

    def refill() -> None:
        piece = next(left, b"")
        sent.extend(piece)
        ends.stream.write(piece)

    ends.stream.refill = refill
    on(ends.io, lambda: ends.stream.write(b"begin"))
    got = bytearray()
    while len(got) < 5_000_005:
        got += ends.far.recv(1 << 20)

    assert bytes(got) == b"begin" + bytes(sent)


def test_end_of_the_other_side_is_told_once(ends: Ends) -> None:
    on(ends.io, lambda: ends.expect(10))
    ends.far.sendall(b"half")
    ends.far.close()
    until(ends.io, lambda: ends.lost)
    on(ends.io, lambda: ends.stream.write(b"x"))
    on(ends.io, ends.stream.close)

    assert ends.lost == 1
    assert ends.came == []


def test_closing_is_not_told_and_ends_the_connection(ends: Ends) -> None:
    on(ends.io, ends.stream.close)
    on(ends.io, ends.stream.close)

    assert closed_by_other(ends.far)
    assert ends.lost == 0


def test_connection_that_is_given_away_goes_on_elsewhere(ends: Ends) -> None:
    sock = on(ends.io, ends.stream.give_up)
    ends.far.sendall(b"more")
    sock.settimeout(5.0)

    assert sock.recv(4) == b"more"
    assert ends.lost == 0
    sock.close()


def test_handler_that_raises_costs_its_connection_and_not_the_thread(ends: Ends) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    on(ends.io, lambda: ends.stream.expect(memoryview(bytearray(1)), fail))
    ends.far.sendall(b"xy")
    until(ends.io, lambda: ends.lost)

    assert on(ends.io, lambda: "still here") == "still here"
