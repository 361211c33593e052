"""Blobs: what one end seals the other opens, and nothing else opens."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from fox_hpc.errors import BlobError
from fox_hpc.wire.blob import BIG_BYTES, CHUNK_BYTES, MOST_FRAMES, Plan
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.sealed_blob import SealedBlob

SIZES = [0, 1, 17, 4096, BIG_BYTES - 1, BIG_BYTES, 0, CHUNK_BYTES, 2 * CHUNK_BYTES + 5, 3]


def frames_of(sizes: list[int]) -> list[bytes]:
    return [os.urandom(size) for size in sizes]


def sealed(frames: list[Any]) -> SealedBlob:
    blob = SealedBlob(frames)
    blob.seal()
    return blob


def opened(holder: SealedBlob, key: bytes = b"") -> OpenedBlob:
    return OpenedBlob(holder.id, key or holder.key, holder.plan.sizes)


def carry(holder: SealedBlob, receiver: OpenedBlob, number: int, place: int | None = None) -> None:
    chunk, tag = holder.chunk(number)
    place = number if place is None else place
    receiver.place(place)[:] = chunk
    receiver.open(place, tag)


def test_every_byte_arrives_whatever_the_sizes() -> None:
    frames = frames_of(SIZES)
    holder = sealed(frames)
    receiver = opened(holder)
    for number in reversed(range(len(holder.plan.chunks))):
        assert not receiver.complete
        carry(holder, receiver, number)

    assert receiver.complete
    assert [bytes(frame) for frame in receiver.frames()] == frames


def test_many_small_frames_share_chunks_and_big_ones_have_their_own() -> None:
    plan = Plan([100] * 10_000 + [BIG_BYTES] * 2)

    assert len(plan.chunks) == 3
    assert all(start % 64 == 0 for _, start in plan.places)
    assert [plan.places[number] for number in (-2, -1)] == [(1, 0), (2, 0)]


def test_plan_of_an_array_beyond_4_gib_covers_it_and_takes_no_memory() -> None:
    size = 5 * 2**30 + 3
    plan = Plan([size])

    assert sum(chunk.size for chunk in plan.chunks) == size
    assert plan.chunks[-1].start + plan.chunks[-1].size == size
    assert plan.bound_to(2559) != plan.bound_to(2560)


@pytest.mark.parametrize(
    ("sizes", "most"), [([2**41], 2**40), ([-1], 100), ([200, -150], 100), ([60, 60], 100)], ids=str
)
def test_sizes_over_the_limit_are_refused_before_memory_is_taken(sizes: list[int], most: int) -> None:
    with pytest.raises(BlobError, match="more than"):
        OpenedBlob(bytes(16), bytes(32), sizes, most)


def test_more_frames_than_a_message_may_have_are_refused() -> None:
    with pytest.raises(BlobError, match=f"{MOST_FRAMES} frames"):
        Plan([0] * (MOST_FRAMES + 1))


@pytest.mark.parametrize("what", ["a byte", "its tag", "another key", "another place", "another blob"])
def test_chunk_that_is_not_what_was_sealed_does_not_open(what: str) -> None:
    frames = frames_of([2 * CHUNK_BYTES])
    holder = sealed(frames)
    receiver = opened(holder, os.urandom(32) if what == "another key" else b"")
    chunk, tag = holder.chunk(0)
    if what == "another blob":
        chunk, tag = sealed(frames).chunk(0)
    receiver.place(1)[:] = receiver.place(0)[:] = chunk
    if what == "a byte":
        receiver.place(0)[77] ^= 1
    if what == "its tag":
        tag = bytes([tag[0] ^ 1]) + tag[1:]

    with pytest.raises(BlobError, match="was changed on its way"):
        receiver.open(1 if what == "another place" else 0, tag)
    assert not receiver.has(0)
    assert not receiver.complete


def test_chunk_that_did_not_open_can_be_carried_again() -> None:
    frames = frames_of([BIG_BYTES])
    holder = sealed(frames)
    receiver = opened(holder)
    chunk, tag = holder.chunk(0)
    receiver.place(0)[:] = bytes(chunk.nbytes)
    with pytest.raises(BlobError):
        receiver.open(0, tag)
    carry(holder, receiver, 0)

    assert [bytes(frame) for frame in receiver.frames()] == frames


def test_no_two_blobs_have_one_key() -> None:
    assert len({SealedBlob([b"x"]).key for _ in range(100)}) == 100


def test_arrays_may_change_after_they_were_sealed() -> None:
    array = np.arange(BIG_BYTES, dtype=np.uint8)
    holder = sealed([array])
    wanted = array.tobytes()
    array[:] = 0
    receiver = opened(holder)
    carry(holder, receiver, 0)

    assert bytes(receiver.frames()[0]) == wanted


def test_freed_blob_is_sealed_again_under_the_same_tags() -> None:
    holder = sealed(frames_of(SIZES))
    before = [(bytes(chunk), tag) for chunk, tag in map(holder.chunk, range(len(holder.plan.chunks)))]
    holder.free()

    assert [(bytes(chunk), tag) for chunk, tag in map(holder.chunk, range(len(before)))] == before


def test_array_that_changed_since_is_told_when_it_is_sealed_again(caplog: pytest.LogCaptureFixture) -> None:
    array = np.zeros(BIG_BYTES, np.uint8)
    holder = sealed([array])
    holder.free()
    array[5] = 1

    with pytest.raises(BlobError, match="arguments of an open call were changed"):
        holder.chunk(0)
    assert "arguments of an open call were changed" in caplog.text


def test_blob_without_its_frames_gives_no_chunk_once_it_was_freed() -> None:
    holder = sealed(frames_of([BIG_BYTES]))
    holder.forget_frames()
    holder.chunk(0)
    holder.free()

    with pytest.raises(BlobError, match="not held"):
        holder.chunk(0)


@pytest.mark.parametrize("number", [-1, 1, 2**31])
def test_chunk_that_there_is_not_is_not_given(number: int) -> None:
    holder = sealed(frames_of([BIG_BYTES]))

    with pytest.raises(BlobError, match="no chunk"):
        holder.chunk(number)


def test_who_waits_for_a_chunk_is_told_when_the_blob_is_closed() -> None:
    holder, told = SealedBlob(frames_of([BIG_BYTES])), threading.Event()

    def wait() -> None:
        try:
            holder.chunk(0)
        except BlobError:
            told.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    holder.close()
    waiting.join(5.0)

    assert told.is_set()


class ClosesAtItsSecondChunk(SealedBlob):
    def _seal_into(self, number: int, place: memoryview, frames: Any) -> bytes:
        if number == 1:
            self.close()
        return super()._seal_into(number, place, frames)


def test_call_that_ends_while_its_blob_is_sealed_is_no_error_of_the_sealer() -> None:
    blob = ClosesAtItsSecondChunk(frames_of([3 * CHUNK_BYTES]))
    blob.seal()

    with pytest.raises(BlobError):
        blob.chunk(0)


def test_closing_gives_the_frames_and_the_ciphertext_back() -> None:
    array = np.zeros(BIG_BYTES, np.uint8)
    gone = weakref.ref(array)
    holder = sealed([array])
    memory = weakref.ref(holder.chunk(0)[0].obj)
    del array
    holder.close()
    gc.collect()

    assert gone() is None
    assert memory() is None
