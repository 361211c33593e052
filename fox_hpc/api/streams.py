"""Where streams meet calls: an iterator leaves as a reference, and arrives as a Stream."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from msgspec import structs

from ..call import Call
from ..late import Late
from ..streamed import CLOSE, END, GONE, StreamPull, StreamRef, is_stream, takes_stream
from .backend import Backend
from .border import Border
from .context import Context
from .feed import Feeding, ask_feed, feeds_for
from .made import Made
from .stream import Stream

log = logging.getLogger(__name__)

_NOT_YOURS = "the stream was made for another caller"


def send_streams(
    call: Call, backend: Backend, targets: Sequence[str], parallel: int, context: Context
) -> tuple[Call, Backend]:
    """Put references in the place of the iterators among a call's arguments.

    Raises:
        RecipeError: this call cannot have any.
    """
    feeds = feeds_for(call, targets, parallel, context)
    if not feeds:
        return call, backend

    def refer(value: Any) -> Any:
        return StreamRef(feeds[id(value)].id) if id(value) in feeds else value

    return _each(call, refer), Feeding(backend, list(feeds.values()))


def end_streams(backend: Backend, targets: Sequence[str]) -> None:
    """The call was not made."""
    if isinstance(backend, Feeding):
        for site in targets:
            backend.part(site)


def answered(value: Any, site: str, call: Call, backend: Backend) -> Any:
    """Give what a caller gets of a site's answer: a Stream for a reference."""
    inner = value.value if call.late and isinstance(value, Late) else value
    if not isinstance(inner, StreamRef):
        return value
    on_end: Callable[[], None] | None = None
    if isinstance(backend, Feeding):
        on_end, backend = partial(backend.part, site), backend.inner
    return Stream(
        backend,
        site,
        call.func,
        inner.id,
        reader=call.caller,
        timeout=call.timeout,
        ranks=call.ranks,
        on_end=on_end,
    )


class Streams:
    """The streams that a place's functions have returned and that are not read to their end.

    Each chunk is made by a call of its own, in the row of the others, on the thread that runs them. The
    ranks of a site count calls alike, so that a name means the same on all of them.

    Args:
        attempt: of the site's job; what an earlier one has made is not known here.
    """

    def __init__(self, attempt: int = 0) -> None:
        self.attempt = attempt
        self._counts = {"all": itertools.count(), "zero": itertools.count()}
        self._made: dict[str, tuple[Made, str]] = {}

    def __repr__(self) -> str:
        return f"<Streams {len(self._made)} open>"

    def new_id(self, call: Call) -> str:
        """Name what a call may return; to be asked for every call."""
        return f"{self.attempt}.{call.ranks}.{next(self._counts[call.ranks])}"

    def receive(self, call: Call, context: Context) -> Call:
        """Put streams in the place of a call's references."""
        if not takes_stream(call):
            return call

        def open(value: Any) -> Any:
            if not isinstance(value, StreamRef):
                return value
            backend = Border(context.backend, context)
            return Stream(backend, call.caller, call.func, value.id, reader=context.site_name)

        return _each(call, open)

    def keep(self, id: str, value: Any, call: Call, context: Context) -> Any:
        """Give what is answered: a reference, if the value is an iterator, which is kept here then."""
        if not is_stream(value):
            return value
        # Nobody would end what nobody has heard of.
        if not context.is_aborted():
            self._made[id] = Made(value), call.caller
        return StreamRef(id)

    def pull(self, pull: StreamPull, caller: str) -> tuple[str, Any] | Future[Any]:
        """Make a chunk, or end a stream; raises what its code raises."""
        made, owner = self._made.get(pull.id, (None, ""))
        if made is None:
            return ask_feed(pull, caller)
        if owner != caller:
            return GONE, _NOT_YOURS
        if pull.number == CLOSE:
            del self._made[pull.id]
            made.close()
            return END, None
        try:
            answer = made.step()
        except BaseException:
            del self._made[pull.id]
            raise
        if answer[0] == END:
            del self._made[pull.id]
        return answer

    def close(self) -> None:
        """End all of them; nobody reads any more."""
        while self._made:
            id, (made, _) = self._made.popitem()
            try:
                made.close()
            except Exception:
                log.exception("the stream %s failed while it was closed", id)


def _each(call: Call, change: Callable[[Any], Any]) -> Call:
    if not (call.args or call.kwargs):
        return call
    kwargs = {name: change(value) for name, value in call.kwargs.items()}
    return structs.replace(call, args=tuple(map(change, call.args)), kwargs=kwargs)
