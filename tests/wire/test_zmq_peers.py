"""Connections are told up and down once each, whichever comes first."""

from __future__ import annotations

from fox_hpc.wire.refusals import Refusals
from fox_hpc.wire.zmq_peers import Peers


class Told:
    def __init__(self) -> None:
        self.changes: list[tuple[str, bool]] = []
        self.peers = Peers(lambda name, up: self.changes.append((name, up)), Refusals())


def test_descriptor_that_is_used_again_by_the_same_cell_is_a_new_connection() -> None:
    told = Told()
    told.peers.accepted(7)
    told.peers.meet(b"1", b"a", "a", 7)
    told.peers.closed(7)
    told.peers.accepted(7)
    told.peers.meet(b"2", b"a", "a", 7)
    told.peers.settle()

    assert told.changes == [("a", True), ("a", False), ("a", True)]
    assert (told.peers.id_of("a"), told.peers.get(b"1")) == (b"2", None)


def test_connection_that_ended_before_its_first_word_was_read_is_told_down() -> None:
    told = Told()
    told.peers.accepted(7)
    told.peers.closed(7)
    told.peers.meet(b"1", b"a", "a", 7)
    told.peers.settle()

    assert told.changes == [("a", True), ("a", False)]
    assert len(told.peers) == 0


def test_old_connection_that_ends_late_does_not_take_the_new_one_down() -> None:
    told = Told()
    for id, fd in ((b"1", 7), (b"2", 8)):
        told.peers.accepted(fd)
        told.peers.meet(id, b"a", "a", fd)
    told.peers.closed(7)
    told.peers.settle()

    assert told.changes == [("a", True), ("a", False), ("a", True)]
    assert told.peers.id_of("a") == b"2"
