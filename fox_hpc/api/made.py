"""Made: an iterator of user code, sync or async, run step by step at the place where it lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from ..streamed import CHUNK, END

if TYPE_CHECKING:
    import asyncio


class Made:
    """A stream's iterator; `step` and `close` are for one thread at a time.

    An async one has an event loop of its own, which runs while a chunk is made and stands still between.
    """

    def __init__(self, iterator: Iterator[Any] | AsyncIterator[Any]) -> None:
        self._iterator: Iterator[Any] | AsyncIterator[Any] | None = iterator
        self._loop: asyncio.AbstractEventLoop | None = None

    def step(self) -> tuple[str, Any]:
        """Give the next chunk, or that there is none; raises what the iterator raises, and is over then."""
        if self._iterator is None:
            return END, None
        try:
            if isinstance(self._iterator, Iterator):
                return CHUNK, next(self._iterator)
            return CHUNK, self._await(_next(self._iterator))
        except (StopIteration, StopAsyncIteration):
            self.close()
            return END, None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it: a generator's `finally` runs. Raises what that raises."""
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            return
        try:
            if isinstance(iterator, Iterator):
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
            elif hasattr(iterator, "aclose"):
                self._await(_close(iterator))
        finally:
            if self._loop is not None:
                self._loop.close()

    def drop(self) -> None:
        """Let go of an iterator that was never begun."""
        self._iterator = None

    def _await(self, work: Any) -> Any:
        # Loaded with the first async generator: most workers have none.
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator)


async def _close(iterator: Any) -> None:
    await iterator.aclose()
