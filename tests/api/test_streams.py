"""Streams that functions return: who may read them, and how the reader sees their end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from fox_hpc import ClientApp, Stream, fox
from fox_hpc.api.context import Context
from fox_hpc.call import Call, Pending
from fox_hpc.errors import SiteLost
from fox_hpc.streamed import END, GONE, StreamPull, StreamRef


class Client:
    """A site that counts how many of its streams were closed."""

    def __init__(self) -> None:
        self.closed = 0

    @fox.collab
    def count(self) -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            self.closed += 1

    @fox.collab
    async def spell(self) -> AsyncIterator[str]:
        try:
            for letter in "abc":
                yield letter
        finally:
            await asyncio.sleep(0)
            self.closed += 1


class Direct:
    """A backend that calls an app at once, on another thread as every backend does."""

    secure = True

    def __init__(self, app: ClientApp, context: Context) -> None:
        self.app, self.context = app, context
        self.asked: list[int] = []

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        future: Future[Any] = Future()
        self.asked.append(call.args[0].number)
        thread = threading.Thread(target=self._run, args=(call, future))
        thread.start()
        thread.join()
        return [Pending(targets[0], "id", future)]

    def _run(self, call: Call, future: Future[Any]) -> None:
        try:
            future.set_result(self.app.invoke(call, self.context))
        except Exception as error:
            future.set_exception(error)

    def cancel(self, pending: Sequence[Pending]) -> None:
        pass


@pytest.fixture
def app() -> ClientApp:
    return ClientApp(Client())


def call(app: ClientApp, context: Context, func: str) -> tuple[Stream, Direct]:
    ref = app.invoke(Call(func), context)
    assert isinstance(ref, StreamRef)
    direct = Direct(app, context)
    return Stream(direct, "site-1", func, ref.id, reader="server"), direct


@pytest.mark.parametrize("func", ["count", "spell"])
def test_both_kinds_of_generator_are_read_by_both_kinds_of_loop(
    func: str, app: ClientApp, context: Context
) -> None:
    async def read(stream: Stream) -> list[Any]:
        return [chunk async for chunk in stream]

    expected = [0, 1, 2] if func == "count" else ["a", "b", "c"]
    assert list(call(app, context, func)[0]) == expected
    assert asyncio.run(read(call(app, context, func)[0])) == expected
    assert app.obj.closed == 2  # type: ignore[attr-defined]


def test_one_chunk_is_asked_for_ahead_and_no_more(app: ClientApp, context: Context) -> None:
    stream, direct = call(app, context, "count")
    assert direct.asked == []
    next(stream)

    assert direct.asked == [0, 1]
    assert repr(stream) == "<Stream count() of site-1 · 1 read>"


@pytest.mark.parametrize("func", ["count", "spell"])
def test_a_stream_that_is_closed_ends_the_generator_once(func: str, app: ClientApp, context: Context) -> None:
    stream, direct = call(app, context, func)
    next(stream)
    stream.close()
    stream.close()
    del stream
    gc.collect()

    assert (app.obj.closed, direct.asked) == (1, [0, 1, -1])  # type: ignore[attr-defined]
    assert repr(app.streams) == "<Streams 0 open>"


def test_only_who_called_can_read_what_came_of_it(app: ClientApp, context: Context) -> None:
    ref = app.invoke(Call("count"), context)

    assert app.invoke(Call("count", (StreamPull(ref.id, 0),), caller="site-2"), context)[0] == GONE
    assert app.invoke(Call("count", (StreamPull(ref.id, -1),)), context)[0] == END


def test_a_new_attempt_does_not_know_the_streams_of_the_one_before(context: Context) -> None:
    old, new = ClientApp(Client()), ClientApp(Client())
    old.streams.attempt, new.streams.attempt = 1, 2
    stream, direct = call(old, context, "count")
    call(new, context, "count")
    direct.app = new

    with pytest.raises(SiteLost, match="call the function again"):
        next(stream)


def test_ranks_name_a_stream_alike_whatever_rank_zero_does_alone(context: Context) -> None:
    zero, one = ClientApp(Client()), ClientApp(Client())
    zero.invoke(Call("count", ranks="zero"), context)

    assert zero.invoke(Call("count"), context) == one.invoke(Call("count"), context)


def test_a_call_that_was_given_up_leaves_no_stream(app: ClientApp, context: Context) -> None:
    app.invoke(Call("count"), replace(context, is_aborted=lambda: True))

    assert repr(app.streams) == "<Streams 0 open>"


def test_what_nobody_reads_is_closed_at_the_end_of_the_run(app: ClientApp, context: Context) -> None:
    next(call(app, context, "count")[0])
    app.run_final(context)

    assert (app.obj.closed, repr(app.streams)) == (1, "<Streams 0 open>")  # type: ignore[attr-defined]
