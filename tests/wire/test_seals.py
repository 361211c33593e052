"""The same bytes are sealed under the same key again, other bytes never, and none of the bytes is kept."""

from __future__ import annotations

import gc
import mmap
import os
from collections.abc import Iterator
from typing import Any

import pytest

from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.opened_blob import OpenedBlob
from fox_hpc.wire.pages import WarmMemory, region_of
from fox_hpc.wire.sealed_blob import SealedBlob
from fox_hpc.wire.seals import Seal, Seals, mark_of

SIZE = 3 * CHUNK_BYTES + 100
#: Not among the samples.
PLACE = 2 * CHUNK_BYTES + 777


@pytest.fixture
def seals() -> Seals:
    return Seals()


@pytest.fixture
def memory() -> Iterator[WarmMemory]:
    made = WarmMemory(lambda delay_s, action: None)
    yield made
    made.close()


def sealed(seals: Seals, *frames: Any, head: bytes = b"head") -> SealedBlob:
    blob = SealedBlob([head, *frames], seals=seals)
    blob.seal()
    return blob


def opened(blob: SealedBlob, memory: WarmMemory) -> OpenedBlob:
    return OpenedBlob(blob.id, blob.key, blob.plan.sizes, memory=memory)


def bring(blob: SealedBlob, receiver: OpenedBlob) -> int:
    """Bring what is missing; gives how many chunks that were."""
    missing = [number for number in range(len(blob.plan.chunks)) if not receiver.has(number)]
    for number in missing:
        chunk, tag = blob.chunk(number)
        receiver.place(number)[:] = chunk
        receiver.open(number, tag)
    return len(missing)


def keys(blob: SealedBlob) -> list[bytes]:
    """The keys of the regions behind the first."""
    return blob._keys[1:]


def test_same_bytes_have_the_same_key_whatever_is_said_of_them(seals: Seals) -> None:
    data = os.urandom(SIZE)
    one, other = sealed(seals, data), sealed(seals, bytearray(data), b"small", head=b"another head")

    assert keys(one) == keys(other)
    assert one._keys[0] != other._keys[0]
    assert one.id != other.id
    assert one._tags[1:] == other._tags[1:]


@pytest.mark.parametrize("place", [0, 5, PLACE, SIZE - 1000, SIZE - 1])
def test_other_bytes_have_another_key_wherever_they_differ(seals: Seals, place: int) -> None:
    data = bytearray(os.urandom(SIZE))
    before = sealed(seals, bytes(data))
    data[place] ^= 1
    after = sealed(seals, data)

    assert keys(before) != keys(after)
    receiver = OpenedBlob(after.id, after.key, after.plan.sizes)
    bring(after, receiver)
    assert receiver.frames()[1] == data


def test_bytes_that_samples_do_not_tell_apart_are_not_given_out_under_the_old_key(seals: Seals) -> None:
    data = bytearray(os.urandom(SIZE))
    before = sealed(seals, bytes(data))
    data[PLACE] ^= 1
    assert mark_of(memoryview(data)) == before_mark(before)
    after = SealedBlob([b"head", data], seals=seals)

    assert after._tags == [None] * len(after.plan.chunks)
    assert keys(after) != keys(before)


def before_mark(blob: SealedBlob) -> Any:
    return mark_of(blob._frames[1])


def test_equal_frames_of_one_message_do_not_look_alike(seals: Seals) -> None:
    data = os.urandom(SIZE)
    for _ in range(3):
        blob = sealed(seals, data, data)
        assert len(set(keys(blob))) == 2


def test_two_messages_that_are_sealed_at_once_each_have_their_keys(seals: Seals) -> None:
    data = os.urandom(SIZE)
    one, other = SealedBlob([b"", data], seals=seals), SealedBlob([b"", data], seals=seals)
    one.seal()
    other.seal()

    assert keys(one) != keys(other)
    assert keys(sealed(seals, data)) in (keys(one), keys(other))


def test_blob_that_was_closed_before_it_was_sealed_is_not_remembered(seals: Seals) -> None:
    data = os.urandom(SIZE)
    blob = SealedBlob([b"", data], seals=seals)
    blob.close()
    blob.seal()

    assert seals.take(mark_of(memoryview(data))) is None


def test_seals_that_were_not_used_for_long_are_forgotten() -> None:
    seals = Seals(most_bytes=2000)
    marks = [(number, b"") for number in range(5)]
    for mark in marks:
        seals.put(mark, Seal(bytes(32), (bytes(16),)))

    assert [seals.take(mark) is not None for mark in marks] == [False, False, True, True, True]
    assert seals._bytes == 0


def test_chunks_whose_pages_the_system_has_taken_are_missing(seals: Seals, memory: WarmMemory) -> None:
    data = os.urandom(SIZE)
    first = sealed(seals, data)
    receiver = opened(first, memory)
    assert bring(first, receiver) == 5
    region = region_of(receiver.frames()[1])
    del receiver
    gc.collect()
    again = sealed(seals, data)
    assert region is not None
    region._pages.madvise(mmap.MADV_DONTNEED, CHUNK_BYTES, mmap.PAGESIZE)
    receiver = opened(again, memory)

    assert receiver.look_in(memory.take)
    receiver.check()
    assert [number for number in range(5) if not receiver.has(number)] == [0, 2]
    assert bring(again, receiver) == 2
    assert receiver.frames()[1] == data


def test_memory_that_was_looked_into_in_vain_can_be_used(seals: Seals, memory: WarmMemory) -> None:
    data = os.urandom(SIZE)
    first = sealed(seals, data)
    receiver = opened(first, memory)
    bring(first, receiver)
    receiver.frames()[1][:] = bytes(SIZE)
    del receiver
    gc.collect()
    again = sealed(seals, data)
    receiver = opened(again, memory)
    receiver.look_in(memory.take)
    receiver.check()

    assert bring(again, receiver) == 5
    assert receiver.frames()[1] == data
    assert memory.idle_bytes == 0


def test_key_that_comes_with_another_size_finds_nothing(seals: Seals, memory: WarmMemory) -> None:
    first = sealed(seals, os.urandom(SIZE))
    receiver = opened(first, memory)
    bring(first, receiver)
    del receiver
    gc.collect()
    for size, found in ((SIZE - CHUNK_BYTES, False), (SIZE - 200, False), (SIZE - 1, True)):
        other = OpenedBlob(first.id, first.key, [4, size], memory=memory)
        assert other.look_in(memory.take) == found
        other.check()
        assert not other._opened
