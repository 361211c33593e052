"""What is said on a data connection is believed only from its other end, in its order, and now."""

from __future__ import annotations

import pytest

from fox_hpc.errors import WireError
from fox_hpc.wire import data_frames
from fox_hpc.wire.blob import CHUNK_BYTES
from fox_hpc.wire.data_frames import HEADER_BYTES, HELLO_BYTES, WELCOME_BYTES, Header, Kind, Reader, Writer
from fox_hpc.wire.keys import new_keys
from fox_hpc.wire.session import Session, accept_session, offer_session

KEYS = bytes(16), bytes(32)


@pytest.fixture
def ends() -> tuple[Session, Session]:
    keys = new_keys("server")
    worker, offer = offer_session(keys.public)
    return worker, accept_session(offer, keys)


def test_greeting_is_answered_and_both_have_the_nonces(ends: tuple[Session, Session]) -> None:
    worker, server = ends
    said, dialled = data_frames.hello(worker)
    assert len(said) == HELLO_BYTES
    assert data_frames.hello_id(said) == server.id
    assert data_frames.check_hello(said, server) == dialled
    answer, accepted = data_frames.welcome(server, dialled)

    assert len(answer) == WELCOME_BYTES
    assert data_frames.check_welcome(answer, worker, dialled) == accepted


def test_greetings_are_never_alike(ends: tuple[Session, Session]) -> None:
    assert len({data_frames.hello(ends[0])[0] for _ in range(100)}) == 100


def believe(said: bytes, session: Session) -> None:
    data_frames.hello_id(said)
    data_frames.check_hello(said, session)


@pytest.mark.parametrize("place", range(HELLO_BYTES))
def test_greeting_that_was_changed_is_refused(ends: tuple[Session, Session], place: int) -> None:
    worker, server = ends
    said = bytearray(data_frames.hello(worker)[0])
    said[place] ^= 1

    with pytest.raises(WireError, match="data port"):
        believe(bytes(said), server)


def test_answer_to_another_greeting_is_refused(ends: tuple[Session, Session]) -> None:
    worker, server = ends
    recorded, _ = data_frames.welcome(server, data_frames.hello(worker)[1])

    with pytest.raises(WireError, match="answered on the data port"):
        data_frames.check_welcome(recorded, worker, data_frames.hello(worker)[1])


def test_headers_come_as_they_were_said() -> None:
    writer, reader = Writer(KEYS), Reader(KEYS, CHUNK_BYTES)
    headers = [
        Header(Kind.OPEN),
        Header(Kind.WANT, 2**32 - 1, 0, b"b" * 16),
        Header(Kind.CHUNK, 1, CHUNK_BYTES, b"b" * 16, b"t" * 16),
        *(Header(kind) for kind in Kind if kind is not Kind.MESSAGE),
    ]

    for header in headers:
        assert reader.header(writer.header(header)) == header


@pytest.mark.parametrize("what", ["repeated", "left out", "swapped", "changed", "of another key"])
def test_header_that_is_not_the_next_one_is_refused(what: str) -> None:
    writer, reader = Writer(KEYS), Reader(KEYS, CHUNK_BYTES)
    first, second = writer.header(Header(Kind.OPEN)), writer.header(Header(Kind.WANT, 7))
    if what == "repeated":
        reader.header(first)
        second = first
    elif what == "changed":
        reader.header(first)
        second = bytes([second[0] ^ 1]) + second[1:]
    elif what == "of another key":
        second = Writer((b"x" * 16, b"x" * 32)).header(Header(Kind.OPEN))

    with pytest.raises(WireError, match="changed on its way"):
        reader.header(second)


def test_header_that_does_not_count_is_not_counted() -> None:
    writer, reader = Writer(KEYS), Reader(KEYS, CHUNK_BYTES)
    with pytest.raises(WireError):
        reader.header(bytes(HEADER_BYTES))

    assert reader.header(writer.header(Header(Kind.OPEN))).kind is Kind.OPEN


@pytest.mark.parametrize("header", [Header(Kind.CHUNK, 0, CHUNK_BYTES + 1), Header(Kind.WANT, 0, 1)], ids=str)
def test_more_bytes_than_may_come_are_refused_before_they_do(header: Header) -> None:
    with pytest.raises(WireError, match="more than may come"):
        Reader(KEYS, CHUNK_BYTES).header(Writer(KEYS).header(header))


def test_word_that_is_none_is_refused() -> None:
    with pytest.raises(WireError, match="says 99"):
        Reader(KEYS, CHUNK_BYTES).header(Writer(KEYS).header(Header(99)))  # type: ignore[arg-type]
