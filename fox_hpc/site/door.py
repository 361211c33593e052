"""Door: a relay's way to the server, open once the server has welcomed it to its run.

What is said while the door is shut is dropped: answers are kept where they were made, and a site's state is
told anew when the door opens.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import NotAllowed, VersionMismatch, WireError
from ..wire import channel, envelope, handshake
from ..wire.data_port import host_of
from ..wire.envelope import Envelope
from ..wire.handshake import Join, Refuse, Welcome
from ..wire.keys import Keys
from ..wire.link import Link
from ..wire.probe import first_reachable
from ..wire.zmq_link import ZmqIo

log = logging.getLogger(__name__)

#: A server that is away longer than this is not waited for with jobs that run.
AWAY_S = 900.0


class Guest(Protocol):
    """Who goes in and out by a door; called on the I/O thread."""

    def welcomed(self) -> None:
        """The server listens (again)."""

    def told(self, head: Envelope, frames: list[Any]) -> None:
        """The server says something; `frames` are all of it."""

    def turned_away(self, words: str) -> None:
        """The server has no use for this guest any more, or is away for too long."""


class Door:
    """One relay's link to the server.

    Args:
        urls: where the server may be, best first.
        name: the relay's cell.
        keys: the relay's own pair; `server_key` is the server's public key.
        sites: the sites that the relay serves.
        away_s: how long the server may be away.
    """

    def __init__(
        self,
        io: ZmqIo,
        urls: Sequence[str],
        name: str,
        keys: Keys,
        server_key: str,
        sites: Sequence[str],
        *,
        away_s: float = AWAY_S,
    ) -> None:
        self.name, self._io, self._sites, self._away_s = name, io, tuple(sites), away_s
        self.server_key = server_key
        self._guest: Guest | None = None
        self._run = ""
        self.open = False
        self._up = False
        self._answer: Welcome | WireError | None = None
        #: Where the server takes data connections, once it has welcomed this relay.
        self.data_address: tuple[str, int] | None = None
        self._answered = threading.Event()
        self._call_off: Callable[[], None] | None = None
        # One address is dialled until it answers; of several the one that does is taken.
        #: The address of the server.
        self.url = urls[0] if len(urls) == 1 else first_reachable(urls, keys, server_key)
        # Last: the server may be there, and this be called on the I/O thread, before `dial` returns.
        self._link = io.dial(self.url, name, self, keys, server_key)

    def __repr__(self) -> str:
        return f"<Door of {self.name} to {self.url} · {'open' if self.open else 'shut'}>"

    def wait(self, timeout: float | None = None) -> Welcome | None:
        """Wait for the server's answer; None if there was none in time.

        Raises:
            WireError: the server refuses this relay; the text is for people.
        """
        if not self._answered.wait(timeout) or self._answer is None:
            return None
        if isinstance(self._answer, WireError):
            raise self._answer
        return self._answer

    def enter(self, guest: Guest, run: str) -> None:
        """From now on the guest hears what the server says, if it still has that run."""
        self._io.call_soon(lambda: self._enter(guest, run))

    def _enter(self, guest: Guest, run: str) -> None:
        self._guest, self._run = guest, run
        if self._up:
            self._join(self._link)
        else:
            self._expect()

    def say(self, frames: list[Any]) -> None:
        """Send to the server, if the door is open; from any thread."""
        if self.open:
            self._link.send("", frames)
        else:
            log.debug("%r: a message stays here", self)

    # On the I/O thread.

    def _join(self, link: Link) -> None:
        join = Join(handshake.package_version(), self._sites, self._run)
        head = envelope.seal("join", channel.WORKER, origin=self.name, target="server")
        link.send("", [head, *handshake.write(join)])

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        try:
            head = envelope.read(frames[0])
            if head.kind == "welcome":
                self._welcomed(handshake.read(frames[1:], Welcome))
            elif head.kind == "refuse":
                self._refused(NotAllowed(handshake.read(frames[1:], Refuse).words))
            elif self.open and self._guest is not None:
                self._guest.told(head, frames)
        except VersionMismatch as error:
            self._refused(error)
        except WireError as error:
            log.warning("a message from the server is dropped: %s", error)

    def _welcomed(self, welcome: Welcome) -> None:
        self._settle(welcome)
        self.data_address = host_of(self.url), welcome.data_port
        if self._guest is None or not self._run:
            return
        if welcome.run == self._run:
            self.open = True
            self._wait_no_more()
            self._guest.welcomed()
        else:
            self._guest.turned_away(f"the server has begun another run, {welcome.run}")

    def _refused(self, error: WireError) -> None:
        if not isinstance(self._answer, WireError):
            log.warning("%s refuses %s: %s", self.url, self.name, error)
        self._settle(error)
        if self._guest is not None:
            self._guest.turned_away(str(error))

    def _settle(self, answer: Welcome | WireError) -> None:
        self._answer = answer
        self._answered.set()

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler."""
        self._up, self.open = up, False
        if up:
            self._join(link)
        else:
            log.info("%s is out of touch", self.url)
            self._expect()

    def _expect(self) -> None:
        if self._guest is not None and self._call_off is None:
            words = f"the server was away for {self._away_s:g} s"
            guest = self._guest
            self._call_off = self._io.call_later(self._away_s, lambda: guest.turned_away(words))

    def _wait_no_more(self) -> None:
        if self._call_off is not None:
            self._call_off()
            self._call_off = None
