"""Signals while a run is on: they ask for its end instead of killing the process that must end its jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

#: The third signal of a kind kills: somebody really wants to leave.
PATIENCE = 3


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP from entering to leaving the `with` block."""

    def __init__(self) -> None:
        self.count = 0
        self.signum: int | None = None
        #: Called with each signal, within its handler.
        self.on_signal: Callable[[], None] | None = None
        self._raise = False
        self._before: dict[int, Any] = {}

    def __repr__(self) -> str:
        return f"<Interrupts {self.count}>"

    def __enter__(self) -> Self:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP on purpose. An ignored SIGINT only says "background job" and is taken
            # over: who sends one to this process by name wants the jobs ended.
            if signum == signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN:
                continue
            self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @property
    def exit_code(self) -> int:
        """128 + the first signal, as a shell would say it."""
        return 128 + (self.signum or signal.SIGINT)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt within, where nothing has to be ended yet."""
        self._raise = True
        try:
            yield
        finally:
            self._raise = False
            if self.count:
                # Some code turns KeyboardInterrupt into something else, e.g. while a C extension loads.
                raise KeyboardInterrupt from None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1
        self.signum = self.signum or signum
        if self.count >= PATIENCE:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        if self.on_signal is not None:
            self.on_signal()
        if self._raise:
            raise KeyboardInterrupt
