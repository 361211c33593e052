"""Small messages: sealed for one place in one stream, and opened nowhere else."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fox_hpc.errors import WireError
from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.data_frames import HEADER_BYTES, Header, Kind, Reader, Writer
from fox_hpc.wire.data_message import MOST_MESSAGE_BYTES, MOST_SEALED_BYTES, is_small, pack, unpack

KEYS = os.urandom(16), os.urandom(32)


class Stream:
    """The two ends of one direction."""

    def __init__(self) -> None:
        self.writer, self.reader = Writer(KEYS), Reader(KEYS, CHUNK_BYTES)

    def say(self, *frames: Any) -> bytes:
        return self.writer.message(frames)

    def read(self, said: bytes) -> list[bytes] | Header:
        header, sealed = said[:HEADER_BYTES], said[HEADER_BYTES:]
        if size := self.reader.message_size(header):
            assert size == len(sealed)
            return self.reader.message(header, sealed)
        return self.reader.header(header)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.mark.parametrize(
    "frames",
    [
        [b"one"],
        [b"", b""],
        [b"head", os.urandom(1000), b""],
        [b"x" * MOST_MESSAGE_BYTES],
        [b"x" * (MOST_MESSAGE_BYTES // 64)] * 64,
    ],
)
def test_frames_come_out_as_they_went_in(stream: Stream, frames: list[bytes]) -> None:
    assert is_small(frames)
    assert stream.read(stream.say(*frames)) == frames


def test_frames_may_be_any_memory(stream: Stream) -> None:
    assert stream.read(stream.say(bytearray(b"one"), memoryview(b"two"))) == [b"one", b"two"]


def test_nothing_of_a_message_is_in_the_clear(stream: Stream) -> None:
    assert b"patient" not in stream.say(b"head", b"patient 17")


def test_what_is_said_twice_is_never_alike(stream: Stream) -> None:
    assert len({stream.say(b"one")[HEADER_BYTES:] for _ in range(100)}) == 100


def test_messages_and_other_headers_have_one_order(stream: Stream) -> None:
    said = [stream.say(b"one"), stream.writer.header(Header(Kind.PING)), stream.say(b"two")]

    assert [stream.read(one) for one in said] == [[b"one"], Header(Kind.PING), [b"two"]]


@pytest.mark.parametrize("order", [[1], [0, 0], [1, 0], [0, 2]])
def test_a_message_that_is_left_out_or_repeated_or_overtakes_is_refused(
    stream: Stream, order: list[int]
) -> None:
    said = [stream.say(b"%d" % number) for number in range(3)]

    def open_all() -> None:
        for number in order:
            stream.read(said[number])

    with pytest.raises(WireError, match="changed on its way"):
        open_all()


def test_a_message_that_came_before_another_header_is_refused_behind_it(stream: Stream) -> None:
    message, ping = stream.say(b"one"), stream.writer.header(Header(Kind.PING))

    with pytest.raises(WireError, match="changed on its way"):
        stream.reader.header(ping)
    assert stream.read(message) == [b"one"]


def test_a_byte_that_was_changed_anywhere_is_found_as_soon_as_the_message_has_come() -> None:
    length = len(Stream().say(b"one"))
    for place in range(length):
        stream = Stream()
        said = bytearray(stream.say(b"one"))
        said[place] ^= 1

        with pytest.raises(WireError, match="changed on its way"):
            stream.read(bytes(said))


@pytest.mark.parametrize("size", [0, 1, 16, MOST_SEALED_BYTES + 1, 2**32 - 1])
def test_a_size_that_no_message_has_is_refused_before_it_comes(stream: Stream, size: int) -> None:
    header = bytes([Kind.MESSAGE, 0, 0, 0]) + 2 * size.to_bytes(4, "big")

    with pytest.raises(WireError, match=f"{size} or {size} bytes"):
        stream.reader.message_size(header.ljust(HEADER_BYTES, b"\0"))


def test_a_message_is_not_read_as_another_header_though_its_mac_be_right(stream: Stream) -> None:
    with pytest.raises(WireError, match="says 8, which is nothing"):
        stream.reader.header(stream.writer.header(Header(Kind.MESSAGE)))


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * 16, b"x" * 17])
def test_what_was_never_sealed_is_refused(stream: Stream, sealed: bytes) -> None:
    with pytest.raises(WireError, match="changed on its way"):
        stream.reader.message(bytes(HEADER_BYTES), sealed)


def test_a_message_for_another_connection_is_refused(stream: Stream) -> None:
    said = Writer((KEYS[0], os.urandom(32))).message([b"one"])

    with pytest.raises(WireError, match="changed on its way"):
        stream.read(said)


def test_a_message_without_frames_is_refused(stream: Stream) -> None:
    with pytest.raises(WireError, match="no frames"):
        stream.read(stream.say())


@pytest.mark.parametrize("packed", [b"", b"\xc1", pack([1, 2]), pack([b"one"]) + b"x"])
def test_what_holds_no_frames_is_refused(packed: bytes) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        unpack(packed)


def test_what_is_large_is_not_small() -> None:
    assert is_small([b"head", b"x" * (MOST_MESSAGE_BYTES - 4)])
    assert not is_small([b"head", b"x" * (MOST_MESSAGE_BYTES - 3)])
    assert not is_small([b""] * 100)
