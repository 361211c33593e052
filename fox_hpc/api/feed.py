"""Feed: a stream that is an argument of a group call; all its sites see every chunk, in step."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from ..call import Call, Pending, new_call_id
from ..errors import RecipeError
from ..streamed import CHUNK, CLOSE, END, GONE, StreamPull, StreamRef, is_stream
from .backend import Backend
from .context import SERVER, Context, use
from .made import Made
from .stream import Stream

log = logging.getLogger(__name__)

#: The fastest site is at most so many chunks ahead of the slowest; so many are held here.
WINDOW = 2

_OVER = "the call that this stream is an argument of is over, or its caller has given it up"
_ANEW = (
    "this stream has been read in part by an earlier attempt of the site, and a generator cannot begin "
    "again: send what can be read twice as a list, or let the algorithm call the function again"
)

_feeds: dict[str, Feed] = {}


class Feed:
    """Runs an iterator on a thread of its own, as far as the readers ask and the slowest allows.

    Args:
        id: what the readers call it by; nobody can guess it.
        readers: the sites that get it.
        context: what the iterator's code runs in.
        leave: gives a chunk as it leaves this place; raises CallRefused.
    """

    def __init__(
        self,
        id: str,
        iterator: Iterator[Any] | AsyncIterator[Any],
        readers: Sequence[str],
        context: Context,
        leave: Callable[[Any], Any] = lambda chunk: chunk,
    ) -> None:
        self.id, self._leave = id, leave
        self._made, self._context = Made(iterator), context
        self._asked = dict.fromkeys(readers, 0)
        self._waiting: dict[str, tuple[int, Future[Any]]] = {}
        self._kept: dict[int, tuple[str, Any]] = {}
        self._next = 0
        self._last: tuple[str, Any] | BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        _feeds[id] = self

    def __repr__(self) -> str:
        return f"<Feed {self._next} chunks made · {len(self._kept)} held · {len(self._asked)} readers>"

    def ask(self, reader: str, number: int) -> Future[Any]:
        """Ask for a chunk; the future gives the answer to a StreamPull."""
        future: Future[Any] = Future()
        with self._changed:
            if reader not in self._asked:
                future.set_result((GONE, _OVER))
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fox-feed", daemon=True)
                self._thread.start()
            _, before = self._waiting.pop(reader, (0, None))
            self._asked[reader] = number
            self._waiting[reader] = number, future
            self._let_go()
            self._changed.notify_all()
            ready = self._ready()
        if before is not None:
            # Asked by an attempt that is over.
            before.set_result((GONE, _ANEW))
        _settle(ready)
        return future

    def part(self, reader: str) -> None:
        """A reader needs no more; after the last one, the iterator is closed."""
        with self._changed:
            self._asked.pop(reader, None)
            _, future = self._waiting.pop(reader, (0, None))
            self._let_go()
            if not self._asked:
                _feeds.pop(self.id, None)
                if self._thread is None:
                    # Never begun: there is nothing to close, and this thread may run an event loop.
                    self._made.drop()
            self._changed.notify_all()
        if future is not None:
            future.set_result((GONE, _OVER))

    def _let_go(self) -> None:
        """Drop what every reader has."""
        oldest = min(self._asked.values(), default=self._next)
        for number in [number for number in self._kept if number < oldest]:
            del self._kept[number]

    def _ready(self) -> list[tuple[Future[Any], Any]]:
        """Take out the futures that can be answered now."""
        ready = []
        for reader, (number, future) in list(self._waiting.items()):
            answer: Any = self._kept.get(number)
            if answer is None and number < self._next:
                answer = GONE, _ANEW
            elif answer is None:
                answer = self._last
            if answer is not None:
                del self._waiting[reader]
                ready.append((future, answer))
        return ready

    def _may_step(self) -> bool:
        wanted = any(number >= self._next for number, _ in self._waiting.values())
        return not self._asked or (
            self._last is None and wanted and self._next - min(self._asked.values()) < WINDOW
        )

    def _work(self) -> None:
        with use(self._context):
            while self._turn():
                pass
            try:
                self._made.close()
            except Exception:
                log.exception("a stream's generator failed while it was closed")

    def _turn(self) -> bool:
        with self._changed:
            self._changed.wait_for(self._may_step)
            if not self._asked:
                return False
        last: tuple[str, Any] | BaseException | None = None
        try:
            kind, value = self._made.step()
            if kind == END:
                last = END, None
            else:
                value = self._leave(value)
        except BaseException as error:
            last = error
        with self._changed:
            if last is None:
                self._kept[self._next] = CHUNK, value
                self._next += 1
                self._let_go()
            self._last = last
            ready = self._ready()
        del last
        value = None  # a chunk that all have is held by nobody
        _settle(ready)
        return True


def _settle(ready: list[tuple[Future[Any], Any]]) -> None:
    while ready:
        future, answer = ready.pop()
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def ask_feed(pull: StreamPull, reader: str) -> Future[Any] | tuple[str, Any]:
    """Answer a reader's question to a feed of this process; a stranger's as if there were none."""
    feed = _feeds.get(pull.id)
    if feed is None or not isinstance(pull.number, int):
        return GONE, _OVER
    if pull.number == CLOSE:
        feed.part(reader)
        return END, None
    return feed.ask(reader, pull.number)


def is_fed(pull: StreamPull) -> bool:
    """Tell whether a feed of this process makes what is asked for."""
    return pull.id in _feeds


class Feeding:
    """A backend for one call that has streams as arguments: ends them with it."""

    def __init__(self, backend: Backend, feeds: Sequence[Feed]) -> None:
        self.inner, self._feeds = backend, feeds

    @property
    def secure(self) -> bool:
        """See Backend."""
        return self.inner.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """See Backend."""
        pending = self.inner.start(call, targets)
        for one in pending:
            one.future.add_done_callback(lambda future, site=one.site: self._answered(site, future))  # type: ignore[misc]
        return pending

    def cancel(self, pending: Sequence[Pending]) -> None:
        """See Backend."""
        self.inner.cancel(pending)

    def part(self, site: str) -> None:
        """A site needs no more of the streams."""
        for feed in self._feeds:
            feed.part(site)

    def _answered(self, site: str, future: Future[Any]) -> None:
        # A stream that comes back may be made of those that went out.
        if future.exception() is not None or not isinstance(future.result(), StreamRef):
            self.part(site)


def feeds_for(call: Call, targets: Sequence[str], parallel: int, context: Context) -> dict[int, Feed]:
    """Make a feed of each argument that is an iterator, by the argument's identity.

    Raises:
        RecipeError: the call cannot have a stream as an argument.
    """
    values = {id(value): value for value in (*call.args, *call.kwargs.values()) if is_stream(value)}
    if not values:
        return {}
    if context.site_name != SERVER or context.caller:
        raise RecipeError(
            f"{call.func}() was given a generator by a function that is itself being called: only the "
            "algorithm can send a stream; return the generator instead, and its caller reads it"
        )
    if 0 < parallel < len(targets):
        raise RecipeError(
            f"{call.func}() was given a generator with parallel={parallel}: its chunks go to all "
            f"{len(targets)} sites in step; parallel=0 is right, or one generator and one call for each site"
        )
    for value in values.values():
        if isinstance(value, Stream) and value.site in targets:
            raise RecipeError(
                f"{call.func}() was given a stream that {value.site} makes and would have to read at the "
                "same time: send it to other sites, or read it into a list"
            )

    def leave(chunk: Any) -> Any:
        return context.terms.filters.on_chunk(call.func, chunk, context.site_name, leaves=True)

    return {key: Feed(new_call_id(), value, targets, context, leave) for key, value in values.items()}
