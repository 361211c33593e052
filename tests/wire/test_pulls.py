"""Which chunks are asked for, in which order, and what becomes of them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fox_hpc.errors import BlobError
from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.pulls import TRIES, WINDOW, Pulls
from fox_hpc.wire.sealed_blob import SealedBlob


class Fetching:
    """A blob that is fetched by some pulls, and what was said of it."""

    def __init__(self, pulls: Pulls, chunks: int = 3, keep: bool = False) -> None:
        self.holder = SealedBlob([os.urandom(chunks * CHUNK_BYTES)])
        self.holder.seal()
        self.pulls, self.id = pulls, self.holder.id
        self.blob = OpenedBlob(self.id, self.holder.key, self.holder.plan.sizes)
        self.failures: list[BlobError] = []
        self.done = 0
        pulls.add(self.blob, self.failures.append, keep=keep)
        if not keep:
            self.need(range(chunks))

    def need(self, numbers: Any) -> None:
        self.pulls.need(self.id, list(numbers), self._note)

    def _note(self) -> None:
        self.done += 1

    def bring(self, number: int, *, harmed: bool = False) -> bool:
        chunk, tag = self.holder.chunk(number)
        place = self.pulls.place(self.id, number)
        if place is not None:
            place[:] = bytes(chunk.nbytes) if harmed else chunk
        return self.pulls.arrived(self.id, number, tag)


def test_window_bounds_what_is_on_its_way() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls, WINDOW + 4)
    asked = list(pulls.next_wanted())

    assert asked == [(fetching.id, number) for number in range(WINDOW)]
    assert list(pulls.next_wanted()) == []
    fetching.bring(0)
    assert list(pulls.next_wanted()) == [(fetching.id, WINDOW)]


def test_blobs_take_turns() -> None:
    pulls = Pulls()
    one, other = Fetching(pulls), Fetching(pulls)
    asked = [id for id, _ in pulls.next_wanted()]

    assert asked == [one.id, other.id] * 3


def test_blob_is_done_once_all_of_it_came_in_any_order() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)
    list(pulls.next_wanted())

    assert [fetching.bring(number) for number in (2, 0)] == [False, False]
    assert fetching.done == 0
    assert fetching.bring(1)
    assert fetching.done == 1
    assert not pulls.busy
    assert not pulls.waiting


def test_what_had_not_come_is_asked_for_again_on_the_next_connection() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)
    list(pulls.next_wanted())
    fetching.bring(1)
    pulls.begin_again()

    assert list(pulls.next_wanted()) == [(fetching.id, 0), (fetching.id, 2)]


def test_chunk_that_nobody_asked_for_is_thrown_away() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)

    assert pulls.place(fetching.id, 0) is None
    assert not fetching.bring(0)
    assert not fetching.blob._opened


def test_chunk_of_a_blob_that_was_dropped_meanwhile_is_thrown_away() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)
    list(pulls.next_wanted())
    assert pulls.place(fetching.id, 0) is not None
    pulls.drop(fetching.id)

    assert not pulls.arrived(fetching.id, 0, bytes(16))
    assert not pulls.waiting
    assert fetching.done == 0
    assert fetching.failures == []


def test_blob_that_is_fetched_already_goes_on_as_it_is() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)

    assert not pulls.add(fetching.blob, fetching.failures.append)


def test_harmed_chunk_breaks_the_connection_and_is_asked_for_again() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls, 1)
    for _ in range(TRIES - 1):
        list(pulls.next_wanted())
        with pytest.raises(BlobError, match="was changed on its way"):
            fetching.bring(0, harmed=True)
        pulls.begin_again()
    list(pulls.next_wanted())

    assert fetching.failures == []
    assert fetching.bring(0)
    assert fetching.done == 1


def test_blob_whose_chunks_are_harmed_again_and_again_fails_by_name() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls, 1)
    for _ in range(TRIES):
        list(pulls.next_wanted())
        with pytest.raises(BlobError):
            fetching.bring(0, harmed=True)
        pulls.begin_again()

    assert [str(error) for error in fetching.failures] == [str(fetching.failures[0])]
    assert "was changed on its way" in str(fetching.failures[0])
    assert list(pulls.next_wanted()) == []


def test_failure_is_told_once() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls)
    pulls.fail(fetching.id, BlobError("gone"))
    pulls.fail_all(BlobError("gone"))

    assert [str(error) for error in fetching.failures] == ["gone"]


def test_part_of_a_blob_that_is_kept_is_fetched_when_it_is_needed() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls, keep=True)
    assert not pulls.busy
    fetching.need([1])
    assert list(pulls.next_wanted()) == [(fetching.id, 1)]
    fetching.bring(1)
    fetching.need([1])

    assert fetching.done == 2
    assert list(pulls.next_wanted()) == []


def test_blob_that_is_kept_is_never_called_whole() -> None:
    pulls = Pulls()
    fetching = Fetching(pulls, 1, keep=True)
    fetching.need([0])
    list(pulls.next_wanted())

    assert not fetching.bring(0)
    assert fetching.blob.complete


class NoRoom(OpenedBlob):
    def place(self, number: int) -> memoryview:
        raise BlobError("no memory")


def test_no_memory_for_a_blob_fails_it_alone() -> None:
    pulls = Pulls()
    other = Fetching(pulls)
    blob = NoRoom(bytes(16), bytes(32), [CHUNK_BYTES])
    failures: list[BlobError] = []
    pulls.add(blob, failures.append)
    pulls.need(blob.id, [0], lambda: None)
    list(pulls.next_wanted())

    assert pulls.place(blob.id, 0) is None
    assert [str(error) for error in failures] == ["no memory"]
    assert other.failures == []
    assert pulls.busy
