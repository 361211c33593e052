"""A stream that is an argument: how far it is made, what is held of it, and when it ends."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fox_hpc.api.context import Context
from fox_hpc.api.feed import WINDOW, Feed, ask_feed
from fox_hpc.streamed import CHUNK, CLOSE, END, GONE, StreamPull


class Chunk:
    """A chunk that can be watched."""


@pytest.fixture
def make(context: Context) -> Iterator[Callable[..., Feed]]:
    feeds: list[tuple[Feed, tuple[str, ...]]] = []

    def make(iterator: Any, *readers: str) -> Feed:
        feeds.append((Feed("a feed", iterator, readers, context), readers))
        return feeds[-1][0]

    yield make
    for feed, readers in feeds:
        for reader in readers:
            feed.part(reader)


def counted(made: list[int], ended: threading.Event) -> Iterator[int]:
    try:
        for number in range(1000):
            made.append(number)
            yield number
    finally:
        ended.set()


def test_nothing_is_made_before_somebody_asks(make: Any) -> None:
    made: list[int] = []
    feed = make(counted(made, threading.Event()), "site-1")

    assert made == []
    assert feed.ask("site-1", 0).result(5) == (CHUNK, 0)
    assert made == [0]


def test_a_fast_reader_waits_for_the_slowest(make: Any) -> None:
    made: list[int] = []
    feed = make(counted(made, threading.Event()), "site-1", "site-2")
    for number in range(WINDOW):
        assert feed.ask("site-1", number).result(5) == (CHUNK, number)
    waits = feed.ask("site-1", WINDOW)

    assert [feed.ask("site-2", 0).result(5), waits.done()] == [(CHUNK, 0), False]
    assert feed.ask("site-2", 1).result(5) == (CHUNK, 1)
    assert waits.result(5) == (CHUNK, WINDOW)
    assert made == list(range(WINDOW + 1))


def test_a_reader_that_parts_holds_nobody_up(make: Any) -> None:
    feed = make(iter(range(5)), "site-1", "site-2")
    got = [feed.ask("site-1", number).result(5) for number in range(WINDOW)]
    waits = feed.ask("site-1", WINDOW)
    feed.part("site-2")

    got.append(waits.result(5))
    assert got == [(CHUNK, number) for number in range(WINDOW + 1)]
    assert feed.ask("site-2", 1).result(5)[0] == GONE


def test_what_all_have_is_let_go(make: Any) -> None:
    chunks: list[weakref.ref[Chunk]] = []

    def objects() -> Iterator[Chunk]:
        for _ in range(6):
            chunk = Chunk()
            chunks.append(weakref.ref(chunk))
            yield chunk
            del chunk

    feed = make(objects(), "site-1", "site-2")
    for number in range(6):
        for reader in ("site-1", "site-2"):
            feed.ask(reader, number).result(5)
    gc.collect()

    assert [chunk() is None for chunk in chunks] == [True] * 5 + [False]


def test_the_last_reader_that_parts_closes_the_generator(make: Any) -> None:
    ended = threading.Event()
    feed = make(counted([], ended), "site-1", "site-2")
    feed.ask("site-1", 0).result(5)
    waits = feed.ask("site-1", 5)
    feed.part("site-1")

    assert (waits.result(5)[0], ended.is_set()) == (GONE, False)
    feed.part("site-2")
    assert ended.wait(5)


def test_end_and_errors_are_told_to_every_reader_as_often_as_it_asks(make: Any) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("nothing left")

    feed = make(broken(), "site-1", "site-2")
    for reader in ("site-1", "site-2"):
        feed.ask(reader, 0).result(5)
    for reader in ("site-1", "site-2", "site-2"):
        assert str(feed.ask(reader, 1).exception(5)) == "nothing left"


def test_a_new_attempt_reads_what_is_held_and_nothing_that_is_gone(make: Any) -> None:
    feed = make(iter(range(9)), "site-1")
    assert feed.ask("site-1", 0).result(5) == (CHUNK, 0)
    assert feed.ask("site-1", 0).result(5) == (CHUNK, 0)
    assert feed.ask("site-1", 1).result(5) == (CHUNK, 1)

    kind, words = feed.ask("site-1", 0).result(5)
    assert (kind, words.startswith("this stream has been read in part by an earlier attempt")) == (GONE, True)


def test_a_question_of_a_dead_attempt_is_answered_when_a_new_one_asks(make: Any) -> None:
    feed = make(iter(range(9)), "site-1", "site-2")
    feed.ask("site-1", 0).result(5)
    feed.ask("site-1", 1).result(5)
    old = feed.ask("site-1", 2)
    feed.ask("site-1", 0)

    assert old.result(5)[0] == GONE


def test_a_stranger_learns_nothing(make: Any) -> None:
    feed = make(iter(range(9)), "site-1")

    assert ask_feed(StreamPull("another", 0), "site-1")[0] == GONE  # type: ignore[index]
    assert ask_feed(StreamPull(feed.id, 0), "site-2").result(5)[0] == GONE  # type: ignore[union-attr]
    assert ask_feed(StreamPull(feed.id, "0"), "site-1")[0] == GONE  # type: ignore[arg-type,index]
    assert ask_feed(StreamPull(feed.id, CLOSE), "site-1") == (END, None)
    assert feed.ask("site-1", 0).result(5)[0] == GONE
