"""A backend whose answers the test gives by hand, and a context that uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.api.context import Context, use
from fox_hpc.call import Call, Pending
from fox_hpc.errors import CallCancelled


class ByHand:
    """Keeps every call open until the test answers it."""

    def __init__(self) -> None:
        self.secure = True
        self.calls: list[Call] = []
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self._open: dict[str, Future[Any]] = {}
        self._changed = threading.Condition()

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        with self._changed:
            self.calls.append(call)
            self.started += targets
            self._open.update({site: Future() for site in targets})
            self._changed.notify_all()
            return [Pending(site, f"id-{site}", self._open[site]) for site in targets]

    def cancel(self, pending: Sequence[Pending]) -> None:
        for one in pending:
            if not one.future.done():
                self.cancelled.append(one.site)
                one.future.set_exception(CallCancelled("cancelled", site=one.site))

    def answer(self, site: str, value: Any) -> None:
        self._wait_for(site).set_result(value)

    def fail(self, site: str, error: Exception) -> None:
        self._wait_for(site).set_exception(error)

    def _wait_for(self, site: str) -> Future[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: site in self._open, 5), f"no call of {site}"
            return self._open.pop(site)


class Answer(threading.Thread):
    """A call that waits on a thread of its own; `get` gives its value or raises its error."""

    def __init__(self, func: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._work = lambda: func(*args, **kwargs)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error

    def get(self) -> Any:
        self.join(5)
        assert not self.is_alive(), "the call still waits"
        if self._error is not None:
            raise self._error
        return self._value


@pytest.fixture
def backend() -> ByHand:
    return ByHand()


@pytest.fixture
def context(backend: ByHand, tmp_path: Path) -> Iterator[Context]:
    """The server's, with three sites of which two are needed."""
    here = Context("server", ("site-1", "site-2", "site-3"), backend, min_clients=2, workspace=tmp_path)
    with use(here):
        yield here


@pytest.fixture
def ask() -> type[Answer]:
    return Answer
