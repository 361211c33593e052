"""Stream: what the reader of a stream has; each chunk is a call of its own to where the stream is made."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from msgspec import structs

from ..call import Call, Pending, Ranks
from ..errors import CallError, SiteLost, StreamBroken
from ..streamed import CHUNK, CLOSE, END, StreamPull
from .backend import Backend
from .context import SERVER

_ANEW = "the job that made this stream is over: call the function again"


class Stream(Iterator[Any], AsyncIterator[Any]):
    """An iterator whose chunks are made elsewhere, for `for` and `async for`; read by one thread at a time.

    The next chunk is on its way while the last one is used; no more than that. A reader that stops early
    calls `close()`, or uses `with`, so that the far side's generator ends; dropping the stream does too.

    Raises, where the next chunk is asked for:
        RemoteError: the generator raised.
        SiteLost: the site that makes the stream has died, or begun anew.
        StreamBroken: the caller whose argument it is makes no more of it.
        CallTimeout: a chunk was not there within the call's `timeout`.
    """

    def __init__(
        self,
        backend: Backend,
        site: str,
        func: str,
        id: str,
        *,
        reader: str,
        timeout: float | None = None,
        ranks: Ranks = "all",
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._backend, self.site, self._func, self._id = backend, site, func, id
        self._reader, self._timeout, self._ranks, self._on_end = reader, timeout, ranks, on_end
        self._number, self._over = 0, False
        self._pending: Pending | None = None

    def __repr__(self) -> str:
        return (
            f"<Stream {self._func}() of {self.site} · {self._number} read{' · over' if self._over else ''}>"
        )

    def __iter__(self) -> Stream:
        return self

    def __aiter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            answer = self._ask().future.result()
        except BaseException:
            self.close()
            raise
        return self._take(answer, StopIteration)

    async def __anext__(self) -> Any:
        if self._over:
            raise StopAsyncIteration
        import asyncio

        try:
            # Shielded: a task that is cancelled does not cancel what the wire will answer.
            answer = await asyncio.shield(asyncio.wrap_future(self._ask().future))
        except BaseException:
            self.close()
            raise
        return self._take(answer, StopAsyncIteration)

    def close(self) -> None:
        """Read no more: the generator's `finally` runs at the far side. Does not wait for that."""
        if self._over:
            return
        pending = self._end()
        with suppress(Exception):  # the run may be over, and the far side with it
            if pending is not None:
                self._backend.cancel([pending])
            self._start(CLOSE)

    async def aclose(self) -> None:
        """Like `close`, by the name that async generators have for it."""
        self.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            # On a thread of its own: this may run in the middle of anything, whatever locks that holds.
            with suppress(RuntimeError):
                threading.Thread(target=_close, args=self._left(), daemon=True).start()

    def _left(self) -> tuple[Any, ...]:
        last = Stream(self._backend, self.site, self._func, self._id, reader=self._reader, ranks=self._ranks)
        last._pending, last._on_end, self._over = self._pending, self._on_end, True
        return (last,)

    def _ask(self) -> Pending:
        if self._pending is None:
            self._pending = self._start(self._number)
        return self._pending

    def _start(self, number: int) -> Pending:
        pull = StreamPull(self._id, number)
        call = Call(self._func, (pull,), caller=self._reader, timeout=self._timeout, ranks=self._ranks)
        # Asked for ahead, so that nobody stands still for it: it closes no ring of places that wait.
        return self._backend.start(structs.replace(call, waits=False), [self.site])[0]

    def _take(self, answer: Any, stop: type[Exception]) -> Any:
        kind, value = answer
        self._pending = None
        if kind == CHUNK:
            self._number += 1
            self._ask()
            return value
        self._end()
        if kind == END:
            raise stop
        raise self._broken(str(value))

    def _end(self) -> Pending | None:
        self._over = True
        pending, self._pending = self._pending, None
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()
        return pending

    def _broken(self, why: str) -> CallError:
        if self.site == SERVER:
            return StreamBroken(f"the stream for {self._func}(): {why}", site=self.site, func=self._func)
        return SiteLost(reason=_ANEW, site=self.site, func=self._func)


def _close(stream: Stream) -> None:
    stream.close()
