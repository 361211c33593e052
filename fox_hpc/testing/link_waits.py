"""What every Io promises to threads that wait by its `wait_for`; a part of check_link."""

from __future__ import annotations

import threading
from typing import Protocol

from ..wire.link import Frames, Handler, Io, Link
from .ear import Ear, expect


class Net(Io, Protocol):
    """What is checked: one Io, and how links are made on it. MemoryIo is one as it stands."""

    def listen(self, handler: Handler) -> Link:
        """Make a listening link that lets in `site-1`, `site-2` … and the cells below them."""

    def dial(self, url: str, name: str, handler: Handler) -> Link:
        """Make a link to a listening one, as the cell of that name."""


def a_thread_that_waits_is_told_and_nothing_happens_twice_at_a_time(net: Net) -> None:
    """Answers come to threads that wait for them by `wait_for`, one thread or several at once."""
    inside, most = 0, 0

    def heard(link: Link, peer: str, frames: Frames) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        link.send(peer, frames)
        inside -= 1

    listening = net.listen(Ear(heard))
    askers = [_Asker(net, listening.url, number) for number in range(1, 4)]
    askers[0].ask(20)
    threads = [threading.Thread(target=asker.ask, args=(20,)) for asker in askers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)

    expect([len(asker.got) for asker in askers], [40, 20, 20])
    expect([asker.late for asker in askers], [0, 0, 0])
    expect(most, 1)


class _Asker:
    """A peer that asks, and waits for what comes back."""

    def __init__(self, net: Net, url: str, number: int) -> None:
        self.got: list[Frames] = []
        self.late = 0
        self._net, self._changed = net, threading.Condition()
        self._link = net.dial(url, f"site-{number}", Ear(self._heard))

    def _heard(self, link: Link, peer: str, frames: Frames) -> None:
        with self._changed:
            self.got.append(frames)
            self._changed.notify_all()

    def ask(self, times: int) -> None:
        """Ask, one time after the other."""
        for _ in range(times):
            wanted = len(self.got) + 1
            self._link.send("", [b"?"])
            came = self._net.wait_for(self._changed, lambda wanted=wanted: len(self.got) >= wanted, 10.0)  # type: ignore[misc]
            self.late += not came


def a_wait_ends_in_time(net: Net) -> None:
    """What nobody brings is waited for no longer than was said; what is there is not waited for."""
    changed = threading.Condition()

    expect(net.wait_for(changed, lambda: False, 0.05), False)
    expect(net.wait_for(changed, lambda: False, 0), False)
    expect(net.wait_for(changed, lambda: True), True)
