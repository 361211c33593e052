"""Memory for blobs is used again while it is warm, never while somebody views it, and not kept for long."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fox_hpc.errors import BlobError
from fox_hpc.wire import pages
from fox_hpc.wire.pages import WarmMemory, fresh, region_of
from fox_hpc.wire.seals import Seal

MIB = 2**20


class Later:
    """What was put off, to be run when the test says so."""

    def __init__(self) -> None:
        self.actions: list[Callable[[], None]] = []

    def __call__(self, delay_s: float, action: Callable[[], None]) -> None:
        self.actions.append(action)

    def run(self) -> None:
        actions, self.actions = self.actions, []
        for action in actions:
            action()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def memory(later: Later) -> WarmMemory:
    return WarmMemory(later)


def at(place: memoryview) -> int:
    return int(np.frombuffer(place, np.uint8).ctypes.data)


def test_memory_has_the_size_that_was_asked_for(memory: WarmMemory) -> None:
    for size in (0, 1, 2**16 + 1, MIB, 2 * MIB + 5):
        for give in (memory, fresh):
            place = give(size)
            place[:] = bytes([7]) * size
            assert (place.nbytes, place.format, place.readonly) == (size, "B", False)


def test_region_is_used_again_once_its_last_view_is_gone(memory: WarmMemory) -> None:
    place = memory(3 * MIB)
    array, address = np.frombuffer(place[MIB:], np.float32), at(place)
    del place

    other = memory(3 * MIB)
    assert at(other) != address
    del array
    assert memory.idle_bytes == 3 * MIB
    assert at(memory(3 * MIB - 5)) == address


def test_region_of_another_size_gives_way_so_that_no_more_is_held_than_was(memory: WarmMemory) -> None:
    places = [memory(2 * MIB), memory(3 * MIB)]
    places.clear()
    assert memory.idle_bytes == 5 * MIB

    big = memory(4 * MIB)

    assert memory.idle_bytes + big.nbytes <= 5 * MIB


def test_small_memory_is_not_kept(memory: WarmMemory) -> None:
    memory(MIB - 1)

    assert memory.idle_bytes == 0


def test_region_that_nobody_needs_goes_back_after_a_while(
    memory: WarmMemory, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory(2 * MIB)
    later.run()
    assert memory.idle_bytes == 2 * MIB

    monkeypatch.setattr(pages, "IDLE_S", 0.0)
    later.run()

    assert memory.idle_bytes == 0
    assert not later.actions


def fill(place: memoryview, key: bytes) -> int:
    """Let it be known of memory what it holds; gives where it lies."""
    lent = region_of(place)
    assert lent is not None
    lent.seal = Seal(key, ())
    return at(place)


def test_region_is_given_to_who_asks_for_what_it_holds(memory: WarmMemory) -> None:
    places = [memory(2 * MIB), memory(3 * MIB)]
    addresses = [fill(places[0], b"1"), fill(places[1], b"2")]
    places.clear()
    assert memory.take(2 * MIB, b"2") is None
    taken = [memory.take(2 * MIB, b"1"), memory.take(3 * MIB, b"2")]

    assert [at(place) for place in taken if place is not None] == addresses
    assert memory.take(2 * MIB, b"1") is None


def test_region_of_which_is_known_what_it_holds_is_given_to_others_last_and_not_known_then(
    memory: WarmMemory,
) -> None:
    places = [memory(2 * MIB) for _ in range(3)]
    addresses = [fill(places[0], b"old"), at(places[1]), fill(places[2], b"new")]
    while places:
        places.pop(0)
    given = [memory(2 * MIB), memory(2 * MIB)]

    assert [at(place) for place in given] == [addresses[1], addresses[0]]
    assert memory.take(2 * MIB, b"old") is None
    assert memory.take(2 * MIB, b"new") is not None
    given.clear()
    assert memory.take(2 * MIB, b"old") is None


def test_of_two_regions_that_hold_the_same_one_is_known(memory: WarmMemory) -> None:
    places = [memory(2 * MIB), memory(2 * MIB)]
    fill(places[0], b"1")
    fill(places[1], b"1")
    places.clear()
    assert memory.idle_bytes == 4 * MIB
    taken = memory.take(2 * MIB, b"1")

    assert taken is not None
    assert memory.take(2 * MIB, b"1") is None
    assert memory.idle_bytes == 2 * MIB


def test_region_of_which_is_known_what_it_holds_is_kept_longer_but_not_for_ever(
    memory: WarmMemory, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory(2 * MIB), b"1")
    monkeypatch.setattr(pages, "IDLE_S", 0.0)
    later.run()
    assert memory.idle_bytes == 2 * MIB
    monkeypatch.setattr(pages, "KNOWN_S", 0.0)
    later.run()

    assert memory.idle_bytes == 0
    assert not later.actions


def test_known_region_of_another_size_gives_way_too(memory: WarmMemory) -> None:
    fill(memory(2 * MIB), b"1")
    big = memory(4 * MIB)

    assert memory.idle_bytes == 0
    assert big.nbytes == 4 * MIB


def test_region_whose_pages_were_given_back_is_not_warm(memory: WarmMemory) -> None:
    place = memory(2 * MIB)
    place[:] = b"x" * place.nbytes
    spoil(place)

    assert bytes(place[MIB - 1 : MIB + 1]) == b"\0x"
    del place
    assert memory.idle_bytes == 0


def test_closed_memory_keeps_nothing(memory: WarmMemory) -> None:
    kept, place = memory(2 * MIB), memory(2 * MIB)
    del kept
    memory.close()
    del place

    assert memory.idle_bytes == 0


@pytest.mark.parametrize("end", ["closed", "spoilt"])
def test_region_that_is_not_kept_goes_back_to_the_system_with_its_last_view(
    memory: WarmMemory, end: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        before = mapped()
        places = [fresh(64 * MIB), memory(64 * MIB)]
        assert mapped() >= before + 128 * MIB
        if end == "closed":
            memory.close()
        else:
            spoil(places[1])
        places.clear()

        assert mapped() < before + 32 * MIB
    finally:
        gc.enable()


ENDING = """
import numpy
from fox_hpc.wire import pages

memory = pages.WarmMemory(lambda delay_s, action: None)
pages.kept = numpy.frombuffer(memory(2**21), numpy.uint8)
"""


def test_view_that_is_there_when_the_interpreter_ends_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, check=True)

    assert done.stderr == b""


def spoil(place: memoryview) -> None:
    region = region_of(place)
    assert region is not None
    region.give_back(0, MIB)


def mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


def test_more_memory_than_there_is_is_said(memory: WarmMemory) -> None:
    with pytest.raises(BlobError, match="no memory for the"):
        memory(2**60)
