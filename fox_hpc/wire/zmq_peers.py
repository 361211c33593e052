"""Who is connected to a listening link: pure, told of messages and of descriptors that open and close."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from .refusals import Refusals


@dataclass(eq=False)
class Peer:
    """One connection.

    Args:
        owner: whose key it has.
        welcome: its key may use its name, and no newer connection has the name.
    """

    id: bytes
    name: str
    owner: str
    fd: int
    welcome: bool


class Peers:
    """The connections of a listening link.

    A descriptor is used again as soon as it is free, so a connection is known by its id, and by its
    descriptor only until that is told closed.

    Args:
        tell: called with a name and whether it can be reached, each change once.
        refusals: where names are counted that a key does not stand for.
    """

    def __init__(self, tell: Callable[[str, bool], None], refusals: Refusals) -> None:
        self._tell, self._refusals = tell, refusals
        self._by_id: dict[bytes, Peer] = {}
        self._by_fd: dict[int, Peer] = {}
        self._by_name: dict[str, Peer] = {}
        self._open: set[int] = set()
        self._gone: list[Peer] = []
        self._shaken = 0

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
        self._shaken -= 1
        text = name.decode("utf-8", "replace")
        allowed = bool(owner) and (text == owner or text.startswith(owner + "."))
        peer = self._by_id[id] = Peer(id, text, owner, fd, allowed)
        before = self._by_fd.pop(fd, None)
        if before is not None:
            self._drop(before)
        if fd in self._open:
            self._by_fd[fd] = peer
        else:
            self._gone.append(peer)
        if not allowed:
            who = owner or "nobody"
            words = f"a cell with the key of {who} calls itself {text!r:.100}: what it says is dropped"
            self._refusals.note("name of another", who, words)
            return peer
        old = self._by_name.get(text)
        if old is not None:
            self._leave(old)
        self._by_name[text] = peer
        self._tell(text, True)
        return peer

    def evict(self, owners: Collection[str]) -> list[int]:
        """Listen no more to the connections of some keys, and give their descriptors, to be cut."""
        gone = [peer for peer in self._by_id.values() if peer.owner in owners]
        for peer in gone:
            self._leave(peer)
        return [peer.fd for peer in gone if self._by_fd.get(peer.fd) is peer]

    def accepted(self, fd: int) -> None:
        """A descriptor was opened."""
        self._open.add(fd)

    def shook(self) -> None:
        """Some connection's handshake has ended, well or with a refused key; nobody says whose."""
        self._shaken += 1

    def closed(self, fd: int) -> bool:
        """A descriptor was closed; its connection is told down by `settle`.

        Returns:
            whether it was a stranger's: one that never came to the end of a handshake.
        """
        was_open = fd in self._open
        self._open.discard(fd)
        peer = self._by_fd.pop(fd, None)
        if peer is not None:
            self._gone.append(peer)
        elif was_open and self._shaken > 0:
            self._shaken -= 1
        else:
            return was_open
        return False

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
