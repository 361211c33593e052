"""A federation whose calls have streams; a module of its own, so that sites import it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import psutil
from waiting import wait_for

from fox_hpc import FoxRecipe, Stream, fox

BIG = 2 * 2**20


class Server:
    """Runs every plan, and gives what came of each."""

    def __init__(self, plans: tuple[str, ...]) -> None:
        self.plans = plans
        #: Takes the job of site-1 away, and waits for its next attempt.
        self.take_away: Callable[[int], None] = print

    @fox.algo
    def run(self) -> Any:
        return {plan: told(getattr(self, plan)) for plan in self.plans}

    @fox.collab
    def numbers(self, count: int) -> Iterator[int]:
        yield from range(count)

    @fox.collab
    def ping(self) -> str:
        return "pong"

    # Streams as arguments.

    def argument(self) -> Any:
        return fox.clients["site-1"].add_up(n for n in range(10))

    def named_argument(self) -> Any:
        return fox.clients["site-1"].add_up(numbers=iter([1, 2, 3]))

    def argument_of_a_coroutine(self) -> Any:
        return fox.clients["site-1"].add_up_async(letters("abc"))

    def all_sites_see_all_chunks(self) -> Any:
        return fox.clients.add_up(n for n in range(50)).items()

    def arrays(self) -> Any:
        return fox.clients["site-1"].sums(np.full(1000, n) for n in range(3))

    def a_generator_that_raises(self) -> Any:
        return fox.clients["site-1"].until_it_breaks(breaks_after(2))

    def a_reader_that_lets_it_break(self) -> Any:
        return fox.clients["site-1"].add_up(breaks_after(2))

    def a_reader_that_stops_early(self) -> Any:
        closed: list[str] = []
        first = fox.clients["site-1"].take(watched(closed), 2)
        wait_for(lambda: closed == ["closed"])
        return first, closed

    def one_site_stops_early(self) -> Any:
        return fox.clients.take_some((n for n in range(20)), {"site-1": 1, "site-2": 20}).items()

    def a_chunk_that_cannot_travel(self) -> Any:
        return fox.clients["site-1"].until_it_breaks(iter([1, object()]))[:2]

    def a_call_whose_time_is_up(self) -> Any:
        closed: list[str] = []
        try:
            fox.clients["site-1"](timeout=0.3).take_for_ever(slow(closed))
        finally:
            wait_for(lambda: closed == ["closed"])

    def kept_beyond_its_call(self) -> Any:
        fox.clients["site-1"].keep(n for n in range(10))
        return fox.clients["site-1"].read_what_was_kept()

    def with_too_little_parallel(self) -> Any:
        return fox.clients(parallel=1).add_up(n for n in range(3))

    # Streams as results.

    def result(self) -> Any:
        stream = fox.clients["site-1"].count_to(5)
        return isinstance(stream, Stream), list(stream), list(stream)

    def async_result(self) -> Any:
        return list(fox.clients["site-1"].spell("abc"))

    def results_of_all_sites(self) -> Any:
        streams = fox.clients.count_to(3)
        return {site: list(stream) for site, stream in streams.items()}

    def calls_between_chunks(self) -> Any:
        stream = fox.clients["site-1"].count_to(3)
        return next(stream), fox.clients["site-1"].add_up([1, 2]), list(stream)

    def a_result_that_raises(self) -> Any:
        seen = []
        try:
            seen.extend(fox.clients["site-1"].break_after(2))
        except Exception as error:
            return seen, type(error).__name__, error.type_name, "breaks_after" in error.traceback  # type: ignore[attr-defined]

    def a_result_that_is_not_read_to_its_end(self) -> Any:
        stream = fox.clients["site-1"].watch()
        seen = next(stream)
        del stream
        wait_for(lambda: fox.clients["site-1"].how_many_closed() == 1)
        with fox.clients["site-1"].watch() as stream:
            seen += next(stream)
        wait_for(lambda: fox.clients["site-1"].how_many_closed() == 2)
        return seen

    def a_chunk_whose_time_is_up(self) -> Any:
        for _ in fox.clients["site-1"](timeout=0.3).stall():
            pass

    def dies(self) -> Any:
        return list(fox.clients["site-1"].die_in_the_middle())

    def there_and_back(self) -> Any:
        return list(fox.clients["site-1"].double(n for n in range(4)))

    def from_site_to_site(self) -> Any:
        return fox.clients["site-2"].add_up(fox.clients["site-1"].count_to(5))

    def from_a_site_to_itself(self) -> Any:
        return fox.clients["site-1"].add_up(fox.clients["site-1"].count_to(5))

    def from_the_server(self) -> Any:
        return list(fox.clients.add_up_of_server())

    def of_a_function_that_is_called(self) -> Any:
        return fox.clients["site-1"].send_a_generator()

    def late(self) -> Any:
        return list(fox.clients["site-1"](late=True).count_to(2))

    # A job that is taken away.

    def taken_away(self) -> Any:
        stream = fox.clients["site-1"].watch()
        first = next(stream)
        self.take_away(2)
        return first, told(lambda: list(stream)), list(fox.clients["site-1"].count_to(2))

    def taken_away_from_its_argument(self) -> Any:
        return fox.clients["site-1"].add_up(self.numbers_until_it_is_taken_away())

    def numbers_until_it_is_taken_away(self) -> Iterator[int]:
        yield from range(4)
        self.take_away(3)
        yield 4

    # Memory.

    def much_there_and_back(self) -> Any:
        return fox.clients["site-1"].memory_grown(chunks(60)), fox.clients["site-1"].read_to_end(chunks(60))


class Client:
    """One site."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.kept: Any = None

    @fox.collab
    def add_up(self, numbers: Any) -> int:
        return sum(numbers)

    @fox.collab
    async def add_up_async(self, letters: AsyncIterator[str]) -> str:
        return "".join([letter async for letter in letters])

    @fox.collab
    def sums(self, arrays: Any) -> list[int]:
        return [int(array.sum()) for array in arrays]

    @fox.collab
    def until_it_breaks(self, numbers: Any) -> Any:
        seen = []
        try:
            while True:
                seen.append(next(numbers))
        except Exception as error:
            return seen, type(error).__name__, str(error.message)  # type: ignore[attr-defined]

    @fox.collab
    def take(self, numbers: Any, count: int) -> list[Any]:
        return [next(numbers) for _ in range(count)]

    @fox.collab
    def take_some(self, numbers: Any, counts: dict[str, int]) -> int:
        with numbers:
            return sum(next(numbers) for _ in range(counts[fox.site_name]))

    @fox.collab
    def take_for_ever(self, numbers: Any) -> None:
        for _ in numbers:
            pass

    @fox.collab
    def keep(self, numbers: Any) -> None:
        self.kept = numbers

    @fox.collab
    def read_what_was_kept(self) -> int:
        return sum(self.kept)

    @fox.collab
    def count_to(self, count: int) -> Iterator[int]:
        yield from range(count)

    @fox.collab
    async def spell(self, word: str) -> AsyncIterator[str]:
        for letter in word:
            yield letter

    @fox.collab
    def break_after(self, count: int) -> Iterator[int]:
        return breaks_after(count)

    @fox.collab
    def watch(self) -> Iterator[int]:
        return watched(self.closed)

    @fox.collab
    def how_many_closed(self) -> int:
        return len(self.closed)

    @fox.collab
    def stall(self) -> Iterator[int]:
        yield 1
        while not fox.is_aborted:
            time.sleep(0.01)

    @fox.collab
    def double(self, numbers: Any) -> Iterator[int]:
        for n in numbers:
            yield 2 * n

    @fox.collab
    def add_up_of_server(self) -> int:
        return sum(fox.server.numbers(6))

    @fox.collab
    def send_a_generator(self) -> Any:
        return fox.server.ping(n for n in range(3))

    @fox.collab
    def die_in_the_middle(self) -> Iterator[int]:
        yield 1
        os._exit(7)

    @fox.collab
    def memory_grown(self, arrays: Any) -> bool:
        return grows_little(arrays)

    @fox.collab
    def read_to_end(self, arrays: Any) -> int:
        return sum(1 for _ in arrays)


def told(plan: Callable[[], Any]) -> Any:
    """Give what a plan returns, or the error that it raises, as what can be compared."""
    try:
        return plan()
    except Exception as error:
        name = getattr(error, "type_name", "")
        words = str(getattr(error, "message", error)).splitlines()[0]
        return type(error).__name__, name, words.replace(f" on {socket.gethostname()}", "")


async def letters(word: str) -> AsyncIterator[str]:
    for letter in word:
        yield letter


def breaks_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise ValueError("nothing left")


def watched(closed: list[str]) -> Iterator[int]:
    try:
        n = 0
        while True:
            yield n
            n += 1
    finally:
        closed.append("closed")


def slow(closed: list[str]) -> Iterator[int]:
    for n in watched(closed):
        time.sleep(0.05)
        yield n


def chunks(count: int) -> Iterator[Any]:
    for n in range(count):
        yield np.full(BIG, n % 256, np.uint8)


def grows_little(arrays: Iterator[Any]) -> bool:
    """Read all; tell whether the process has grown by less than a sixth of what came."""
    this, before, most, size = psutil.Process(), 0, 0, 0
    for number, array in enumerate(arrays):
        size += array.nbytes
        if number == 5:
            before = this.memory_info().rss
        most = max(most, this.memory_info().rss)
    return most - before < size / 6


def recipe(server: Server) -> FoxRecipe:
    return FoxRecipe("streams", 1, server, Client())
