"""Sources: nothing that can be read is overlooked, and what is watched no more is left alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from fox_hpc.wire.sources import Sources


class Ends:
    """Sources, and pairs of what they may watch."""

    def __init__(self) -> None:
        self.sources, self.context = Sources(), zmq.Context()
        self.told: list[str] = []
        self._open: list[Any] = []

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        self._open += pair
        return pair

    def zmq_sockets(self) -> tuple[Any, Any]:
        near, far = self.context.socket(zmq.PAIR), self.context.socket(zmq.PAIR)
        near.bind(f"inproc://{len(self._open)}")
        far.connect(near.last_endpoint)
        self._open += [near, far]
        return near, far

    def wait(self, wait_s: float = 5.0) -> list[str]:
        """Wait once, do what is to be done, and give who was told."""
        self.told.clear()
        for source, events in self.sources.wait(wait_s):
            source.turn(events, lambda action: action())
        return list(self.told)

    def tell(self, name: str) -> Any:
        return lambda: self.told.append(name)

    def close(self) -> None:
        self.sources.close()
        for one in self._open:
            one.close()
        self.context.term()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_who_can_read_is_told_until_he_has(ends: Ends) -> None:
    near, far = ends.sockets()
    ends.sources.watch(near.fileno(), ends.tell("near"))
    assert ends.wait(0) == []
    far.send(b"x")

    assert ends.wait() == ends.wait() == ["near"]
    near.recv(1)
    assert ends.wait(0) == []


def test_writing_is_told_only_when_it_is_wanted(ends: Ends) -> None:
    near, _ = ends.sockets()
    ends.sources.watch(near.fileno(), ends.tell("read"), ends.tell("write"))
    assert ends.wait(0) == []
    ends.sources.want(near.fileno(), write=True)
    assert ends.wait() == ["write"]
    ends.sources.want(near.fileno())

    assert ends.wait(0) == []


def test_what_is_wanted_neither_way_is_left_alone_and_can_be_wanted_again(ends: Ends) -> None:
    near, far = ends.sockets()
    ends.sources.watch(near.fileno(), ends.tell("near"))
    far.send(b"x")
    ends.sources.want(near.fileno(), read=False)
    assert ends.wait(0) == []
    ends.sources.want(near.fileno())

    assert ends.wait() == ["near"]


@pytest.mark.parametrize("read", [True, False])
def test_who_waits_is_told_that_the_other_end_is_gone(ends: Ends, read: bool) -> None:
    near, far = ends.sockets()
    ends.sources.watch(near.fileno(), ends.tell("read"), ends.tell("write"))
    ends.sources.want(near.fileno(), read=read, write=not read)
    far.close()

    assert ends.wait() == ["read" if read else "write"]


def test_what_one_action_has_closed_is_not_told_in_the_same_turn(ends: Ends) -> None:
    pairs = [ends.sockets() for _ in range(2)]

    def end_both() -> None:
        ends.told.append("one of them")
        for near, _ in pairs:
            ends.sources.unwatch(near.fileno())

    for near, far in pairs:
        ends.sources.watch(near.fileno(), end_both)
        far.send(b"x")

    assert ends.wait() == ["one of them"]
    assert ends.wait(0) == []


def test_a_descriptor_that_is_taken_again_is_another_source(ends: Ends) -> None:
    near, far = ends.sockets()
    ends.sources.watch(near.fileno(), ends.tell("old"))
    ends.sources.watch(near.fileno(), ends.tell("new"))
    far.send(b"x")

    assert ends.wait() == ["new"]


def test_what_was_closed_before_it_was_left_alone_is_not_told_though_another_has_it_open(ends: Ends) -> None:
    near, far = ends.sockets()
    watched = os.dup(near.fileno())
    ends.sources.watch(watched, ends.tell("read"))
    os.close(watched)
    ends.sources.unwatch(watched)
    far.send(b"x")

    assert ends.wait(0.0) == []


def test_unwatching_what_is_not_watched_is_fine(ends: Ends) -> None:
    ends.sources.unwatch(7)
    ends.sources.want(7, write=True)

    assert ends.wait(0) == []


def test_a_message_that_came_before_its_socket_was_watched_is_told(ends: Ends) -> None:
    near, far = ends.zmq_sockets()
    far.send(b"x")
    # Looked at: its descriptor says nothing from now on.
    assert near.getsockopt(zmq.EVENTS) & zmq.POLLIN
    ends.sources.watch(near, ends.tell("near"))

    assert ends.wait() == ["near"]


def test_messages_that_were_not_read_in_one_turn_are_told_in_the_next(ends: Ends) -> None:
    near, far = ends.zmq_sockets()

    def read_one() -> None:
        ends.told.append(near.recv(zmq.NOBLOCK).decode())

    ends.sources.watch(near, read_one)
    for number in range(3):
        far.send(b"%d" % number)

    assert [ends.wait(), ends.wait(), ends.wait(), ends.wait(0)] == [["0"], ["1"], ["2"], []]


def test_a_message_that_came_while_one_was_sent_is_told_if_the_link_says_so(ends: Ends) -> None:
    near, far = ends.zmq_sockets()
    ends.sources.watch(near, ends.tell("near"))
    assert ends.wait(0) == []
    far.send(b"x")
    near.send(b"y")
    # Sending has looked, and the descriptor may say nothing more.
    near.getsockopt(zmq.EVENTS)
    ends.sources.touch(near)

    assert ends.wait() == ["near"]


def test_a_socket_that_has_a_message_keeps_no_other_source_waiting(ends: Ends) -> None:
    near, far = ends.zmq_sockets()
    plain, other = ends.sockets()
    ends.sources.watch(near, ends.tell("zmq"))
    ends.sources.watch(plain.fileno(), ends.tell("plain"))
    far.send(b"x")
    other.send(b"x")
    ends.wait()

    assert sorted(ends.wait()) == ["plain", "zmq"]


def test_a_socket_that_is_watched_no_more_can_be_closed(ends: Ends) -> None:
    near, far = ends.zmq_sockets()
    ends.sources.watch(near, ends.tell("near"))
    far.send(b"x")
    assert ends.wait() == ["near"]
    ends.sources.unwatch(near)
    near.close()

    assert ends.wait(0) == []
