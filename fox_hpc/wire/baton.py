"""Baton: which thread runs a loop. Its own one, or, for as long as it waits for something, a guest.

A thread that waits for what a loop will bring can as well run the loop: then nothing need be handed from
one thread to the other, and no thread need be woken. See ADR 0032.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

#: So often the loop's own thread looks whether a guest that left has come back; then it takes over.
TICK_S = 0.01
#: A guest stays so long at most. What others than the loop bring it would not hear of while it is in there.
STAY_S = 0.05


class Baton:
    """Whoever holds it may touch what belongs to the loop.

    Args:
        wake: makes the own thread, if it sleeps in the loop, look at `guest`.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock, self._door = threading.Lock(), threading.Lock()
        self._recall = threading.Lock()
        self._recall.acquire()
        self._holder = self._others = self._visits = 0
        self._own = False
        #: A guest runs the loop, or waits for the own thread to step back.
        self.guest = False

    def __repr__(self) -> str:
        who = "guest" if self.guest else "own thread" if self._own else "nobody"
        return f"<Baton of {who} · {self._others} wait>"

    @property
    def mine(self) -> bool:
        """Tell whether this thread holds it."""
        return self._holder == threading.get_ident()

    @property
    def led(self) -> bool:
        """Tell whether somebody runs the loop, or is about to."""
        return self.guest or self._own

    def take(self, timeout_s: float = -1) -> bool:
        """Wait for it and hold it; False if it was not free in time."""
        if not self._lock.acquire(timeout=timeout_s):
            return False
        self._holder = threading.get_ident()
        return True

    def seize(self) -> bool:
        """Hold it if nobody runs the loop, or is about to."""
        if self.guest or self._own or not self._lock.acquire(False):
            return False
        self._holder = threading.get_ident()
        return True

    def give(self) -> None:
        """Hold it no more."""
        self._holder = 0
        self._lock.release()

    # The own thread.

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """The own thread runs the loop; it should step back when there is a guest."""
        self._own = True
        self.take()
        try:
            yield
        finally:
            self.give()
            self._own = False

    def stand_by(self, wanted: Callable[[], bool]) -> None:
        """Leave the loop to guests; return once none has come for a moment, or a thread waits that is none.

        Args:
            wanted: tells whether there is work that does not wait for the next guest.
        """
        seen = self._visits
        while self.guest or not (self._others or wanted()):
            told = self._recall.acquire(timeout=TICK_S)
            if self._visits != seen:
                seen = self._visits
            elif not (self.guest or told):
                return

    def recall(self) -> None:
        """Make the own thread look whether it should take over."""
        # A second call before it has looked finds the lock open.
        with contextlib.suppress(RuntimeError):
            self._recall.release()

    # Other threads.

    def enter(self) -> bool:
        """Become the guest, who takes the baton next; False if there is one, or if others wait.

        While several threads wait, the own thread runs the loop: a guest would leave with what he came for.
        """
        with self._door:
            if self.guest or self._others:
                return False
            self.guest = True
            self._visits += 1
        if self._own:
            self._wake()
        return True

    def leave(self, *, recall: bool) -> None:
        """Be the guest no more.

        Args:
            recall: there is work for the own thread.
        """
        self.guest = False
        if recall or self._others:
            self.recall()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """This thread waits for something that the loop brings, and does not run it."""
        with self._door:
            self._others += 1
        if not self.led:
            self.recall()
        try:
            yield
        finally:
            with self._door:
                self._others -= 1
