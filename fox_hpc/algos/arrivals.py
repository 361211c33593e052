"""Arrivals: sites that train each for itself, and whose answers are taken as they come."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from ..api.fox import fox
from ..api.group_call import GroupCall
from ..errors import CallError, GroupError
from .algorithm import Algorithm, params_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _End:
    """How a site's call ended: with a value or an error."""

    site: str
    value: Any = None
    error: BaseException | None = None


class Crowd:
    """The sites of an algorithm, each of which gets a model whenever it has nothing to do.

    A thread follows each call. As a `with` block, it cancels those that are left at its end.

    Args:
        algorithm: says how sites are called, and by its option `parallel` how many at a time.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._names = fox.clients.site_names
        self._idle = deque(self._names)
        self._most = algorithm.options.get("parallel") or len(self._names)
        self._open: dict[str, tuple[int, Any, GroupCall, threading.Thread]] = {}
        self._ended: queue.SimpleQueue[_End] = queue.SimpleQueue()
        self._failures: dict[str, CallError] = {}

    def next(self, model: Any, number: int) -> tuple[int, Any, Any]:
        """Send a model to the sites that are idle, and wait for the next answer to come.

        Returns:
            The round and the params that its site was sent, and the params that it answers.

        Raises:
            GroupError: too many sites have failed.
            ValueError: the answer is not of the model's form.
        """
        while True:
            self._send(model, number)
            end = self._ended.get()
            asked, sent, _call, _thread = self._open.pop(end.site)
            if end.error is None:
                self._idle.append(end.site)
                return asked, params_of(sent), self._algorithm.read(end.site, end.value, sent)
            self._lose(end.site, end.error)

    def _send(self, model: Any, number: int) -> None:
        while self._idle and len(self._open) < self._most:
            site = self._idle.popleft()
            call = self._algorithm.ask_site(site, model, number)
            name = f"fox-arrival-{site}"
            thread = threading.Thread(target=self._follow, args=(site, call), name=name, daemon=True)
            self._open[site] = number, model, call, thread
            thread.start()

    def _follow(self, site: str, call: GroupCall) -> None:
        try:
            end = _End(site, call.results()[0])
        except BaseException as error:
            end = _End(site, error=error)
        self._ended.put(end)

    def _lose(self, site: str, error: BaseException) -> None:
        if not isinstance(error, CallError):
            raise error
        log.warning("%s failed and is asked no more: %s", site, error)
        self._failures[site] = error
        left, needed = len(self._names) - len(self._failures), self._algorithm.needed(len(self._names))
        if left < needed:
            raise GroupError(self._algorithm.call, self._failures, answered=left, needed=needed)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for _asked, _sent, call, _thread in self._open.values():
            call.cancel()
        for _asked, _sent, _call, thread in self._open.values():
            thread.join()

    def __repr__(self) -> str:
        return f"<Crowd {len(self._open)} training · {len(self._idle)} idle · {len(self._failures)} failed>"
