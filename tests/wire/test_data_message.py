"""Small messages: sealed for one place in one stream, and opened nowhere else."""

from __future__ import annotations

import os

import pytest

from fox_hpc.errors import WireError
from fox_hpc.wire.data_message import MOST_MESSAGE_BYTES, MOST_SEALED_BYTES, Opener, Sealer, is_small

KEY = os.urandom(32)


@pytest.mark.parametrize(
    "frames", [[b"one"], [b"", b""], [b"head", os.urandom(1000), b""], [b"x" * MOST_MESSAGE_BYTES]]
)
def test_frames_come_out_as_they_went_in(frames: list[bytes]) -> None:
    sealed = Sealer(KEY).seal(frames)

    assert Opener(KEY).open(sealed) == frames
    assert len(sealed) <= MOST_SEALED_BYTES


def test_frames_may_be_any_memory() -> None:
    sealed = Sealer(KEY).seal([bytearray(b"one"), memoryview(b"two")])

    assert Opener(KEY).open(sealed) == [b"one", b"two"]


def test_nothing_of_a_message_is_in_the_clear() -> None:
    assert b"patient" not in Sealer(KEY).seal([b"head", b"patient 17"])


def test_what_is_said_twice_is_never_alike() -> None:
    sealer = Sealer(KEY)

    assert len({sealer.seal([b"one"]) for _ in range(100)}) == 100


@pytest.mark.parametrize("order", [[1], [0, 0], [1, 0], [0, 2]])
def test_a_message_that_is_left_out_or_repeated_or_overtakes_is_refused(order: list[int]) -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    said = [sealer.seal([b"%d" % number]) for number in range(3)]

    def open_all() -> None:
        for number in order:
            opener.open(said[number])

    with pytest.raises(WireError, match="changed on its way"):
        open_all()


@pytest.mark.parametrize("place", range(25))
def test_a_message_that_was_changed_is_refused(place: int) -> None:
    sealed = bytearray(Sealer(KEY).seal([b"one"]))
    sealed[place % len(sealed)] ^= 1

    with pytest.raises(WireError, match="changed on its way"):
        Opener(KEY).open(sealed)


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * 16])
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(WireError, match="changed on its way"):
        Opener(KEY).open(sealed)


def test_a_message_for_another_connection_is_refused() -> None:
    with pytest.raises(WireError, match="changed on its way"):
        Opener(os.urandom(32)).open(Sealer(KEY).seal([b"one"]))


def test_a_message_without_frames_is_refused() -> None:
    with pytest.raises(WireError, match="no frames"):
        Opener(KEY).open(Sealer(KEY).seal([]))


def test_what_is_large_is_not_small() -> None:
    assert is_small([b"head", b"x" * (MOST_MESSAGE_BYTES - 4)])
    assert not is_small([b"head", b"x" * (MOST_MESSAGE_BYTES - 3)])
    assert not is_small([b""] * 100)
