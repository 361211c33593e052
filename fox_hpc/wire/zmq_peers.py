"""Who is connected to a listening link: pure, told of messages and of descriptors that open and close."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import NotAllowed

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Peer:
    """One connection.

    Args:
        welcome: its key may use its name, and no newer connection has the name.
    """

    id: bytes
    name: str
    fd: int
    welcome: bool


class Peers:
    """The connections of a listening link.

    A descriptor is used again as soon as it is free, so a connection is known by its id, and by its
    descriptor only until that is told closed.

    Args:
        tell: called with a name and whether it can be reached, each change once.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._by_id: dict[bytes, Peer] = {}
        self._by_fd: dict[int, Peer] = {}
        self._by_name: dict[str, Peer] = {}
        self._open: set[int] = set()
        self._gone: list[Peer] = []

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, id: bytes) -> Peer | None:
        """Find a connection that was met."""
        return self._by_id.get(id)

    def id_of(self, name: str) -> bytes | None:
        """Give the id of the connection that has the name, None if there is none."""
        peer = self._by_name.get(name)
        return peer.id if peer is not None else None

    def meet(self, id: bytes, name: bytes, owner: str, fd: int) -> Peer:
        """A connection says its first word: take it in under its name, if its key's owner may use that.

        What has the name already is pushed out: a cell that connects again is itself.
        """
        text = name.decode("utf-8", "replace")
        allowed = bool(owner) and (text == owner or text.startswith(owner + "."))
        peer = self._by_id[id] = Peer(id, text, fd, allowed)
        before = self._by_fd.pop(fd, None)
        if before is not None:
            self._drop(before)
        if fd in self._open:
            self._by_fd[fd] = peer
        else:
            self._gone.append(peer)
        if not allowed:
            shown = NotAllowed(f"a cell with the key of {owner or 'nobody'} calls itself {text!r:.100}")
            log.warning("%s: what it says is dropped", shown)
            return peer
        old = self._by_name.get(text)
        if old is not None:
            self._leave(old)
        self._by_name[text] = peer
        self._tell(text, True)
        return peer

    def accepted(self, fd: int) -> None:
        """A descriptor was opened."""
        self._open.add(fd)

    def closed(self, fd: int) -> None:
        """A descriptor was closed; its connection is told down by `settle`."""
        self._open.discard(fd)
        peer = self._by_fd.pop(fd, None)
        if peer is not None:
            self._gone.append(peer)

    def settle(self) -> None:
        """All that was received has been read: let go of the connections that are closed."""
        gone, self._gone = self._gone, []
        for peer in gone:
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        self._by_id.pop(peer.id, None)
        self._leave(peer)

    def _leave(self, peer: Peer) -> None:
        peer.welcome = False
        if self._by_name.get(peer.name) is peer:
            del self._by_name[peer.name]
            self._tell(peer.name, False)
