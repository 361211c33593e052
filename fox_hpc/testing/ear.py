"""Ear: a handler for tests, which writes down what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..wire.link import Link

#: No test waits longer than this for something that must come.
PATIENCE_S = 10.0


class Ear:
    """A handler that writes down what it is told, and can be waited on.

    Args:
        on_frames: called with each message after it was written down.
    """

    def __init__(self, on_frames: Callable[[Link, str, list[bytes]], None] | None = None) -> None:
        self.messages: list[tuple[str, list[bytes]]] = []
        self.changes: list[tuple[str, bool]] = []
        self.threads: set[str] = set()
        self._on_frames = on_frames
        self._changed = threading.Condition()

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        copied = [bytes(memoryview(frame)) for frame in frames]
        self._note(self.messages, (peer, copied))
        if self._on_frames is not None:
            self._on_frames(link, peer, copied)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        self._note(self.changes, (peer, up))

    def note(self, name: str) -> None:
        """Write down something else, as a message without frames."""
        self._note(self.messages, (name, []))

    def _note(self, where: list[Any], what: Any) -> None:
        with self._changed:
            self.threads.add(threading.current_thread().name)
            where.append(what)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until something is true of what was heard; AssertionError if it does not come."""
        with self._changed:
            came = self._changed.wait_for(condition, timeout_s)
        if not came:
            raise AssertionError(f"heard only {self.changes} and {len(self.messages)} messages")

    def wait_messages(self, count: int) -> None:
        """Wait until so many messages have come."""
        self.wait(lambda: len(self.messages) >= count)

    def wait_change(self, peer: str, up: bool, times: int = 1) -> None:
        """Wait until a peer has gone up or down so many times."""
        self.wait(lambda: self.changes.count((peer, up)) >= times)


def expect(found: object, wanted: object) -> None:
    """Compare; unlike a bare assert it tells both outside of pytest too."""
    if found != wanted:
        raise AssertionError(f"found {found!r:.500}, wanted {wanted!r:.500}")
