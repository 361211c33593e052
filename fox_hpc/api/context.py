"""Context: who runs, where and for whom; what `fox` knows inside user code."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ..errors import CallError, FoxError
from ..metric import Entry
from .backend import Backend
from .terms import Terms

SERVER = "server"
R = TypeVar("R")


def _never() -> bool:
    return False


def _for_ever() -> float:
    return math.inf


@dataclass
class Context:
    """What user code may ask of the place it runs at.

    Args:
        site_name: "server" on the server, else the site's name.
        sites: all sites of the run, in order.
        backend: carries the calls that start here.
        min_clients: how many sites a group call needs when it does not say so itself.
        workspace: a folder for this place's own files.
        caller: who called the function that runs now, "" when nobody did.
        is_aborted: True once the call that runs now, or the run, was given up.
        track: takes tracked entries on their way to the server's receivers.
        on_round: told of rounds done and of how many there will be.
        on_failures: told of the failures of each group call that had any.
        client_api: what `get_client_api()` gives at this site.
        time_left: seconds until this place should stop by itself; infinite where nothing stops it.
        terms: what the recipe, and the site's owner, lay down for this place.
        facts: what else a site knows of its process and its job: run, attempt, job_id, host, local_rank.
    """

    site_name: str
    sites: tuple[str, ...]
    backend: Backend
    min_clients: int
    workspace: Path
    caller: str = ""
    is_aborted: Callable[[], bool] = _never
    track: Callable[[Sequence[Entry]], None] | None = None
    on_round: Callable[[int, int | None], None] | None = None
    on_failures: Callable[[dict[str, CallError]], None] | None = None
    client_api: Any = None
    time_left: Callable[[], float] = _for_ever
    terms: Terms = field(default_factory=Terms)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, **fields: Any) -> Context:
        """Give a copy with these fields changed; what `dataclasses.replace` does, for every call."""
        made = object.__new__(Context)
        made.__dict__.update(self.__dict__, **fields)
        return made


_active: ContextVar[Context | None] = ContextVar("fox_context", default=None)
_inherited: WeakKeyDictionary[threading.Thread, Context] = WeakKeyDictionary()
_default: Context | None = None


def find() -> Context | None:
    """Give the context of this thread, that of the thread which started it, or the process's default."""
    return _active.get() or _inherited.get(threading.current_thread()) or _default


def current() -> Context:
    """Give the context of the code that runs now.

    Raises:
        FoxError: the code does not run inside a run.
    """
    context = find()
    if context is None:
        raise FoxError(
            "fox knows its site only inside a run: inside a function that recipe.execute(env) runs"
        )
    return context


# It reads as a word; and a class does faster, for every call, what a generator could do.
class use:
    """Make this the context of the block, and of the threads that it starts."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        _follow_threads()
        self._token = _active.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        _active.reset(self._token)


def set_default(context: Context | None) -> None:
    """Make this the context wherever no other is known; for a process that serves one site only."""
    global _default
    _default = context


# A new thread starts with no context variables at all (Python 3.14 changes that for Thread only), and
# SimEnv runs several sites in one process, so that a default for the process cannot tell them apart.
# Hence, once a context was used, starting a thread notes its starter's context, and a pool's task runs
# in its submitter's. Only our one variable is handed on; everything else works as if untouched.
@functools.cache
def _follow_threads() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_noted(thread: threading.Thread) -> None:
        if (context := find()) is not None:
            _inherited[thread] = context
        start(thread)

    def submit_inside(
        pool: ThreadPoolExecutor, task: Callable[..., R], /, *args: Any, **kwargs: Any
    ) -> Future[R]:
        context = find()
        if context is None:
            return submit(pool, task, *args, **kwargs)
        return submit(pool, _run_inside, context, task, args, kwargs)

    threading.Thread.start = start_noted  # type: ignore[method-assign,assignment]
    ThreadPoolExecutor.submit = submit_inside  # type: ignore[method-assign,assignment]


def _run_inside(
    context: Context, task: Callable[..., R], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> R:
    with use(context):
        return task(*args, **kwargs)
