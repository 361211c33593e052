"""Parcels: what a cell sends over data connections, beside its link: big payloads, which travel by reference
and are fetched, and, once there is a connection, what is small.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import BlobError, NotAllowed, WireError
from .blob import MOST_BYTES, Ref, read_ref
from .blob_folder import BlobFolder
from .data_frames import hello_id
from .data_peer import DataPeer
from .data_times import NORMAL, DataTimes
from .opened_blob import OpenedBlob
from .pages import WarmMemory
from .parcel import Parcel
from .pulls import PeerGone
from .sealed_blob import SealedBlob
from .seals import Seals
from .session import Session
from .stream import Loop

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who hears what is said over data connections; on the I/O thread."""

    def came_from(self, cell: str, frames: list[Any]) -> None:
        """That cell says this: an envelope and its frames."""

    def broke(self, cell: str) -> None:
        """What was said to that cell, or by it, may be lost."""


class Parcels:
    """What one cell holds for others and fetches from them.

    Methods that say nothing else are for the I/O thread.

    Args:
        most_bytes: a bigger payload is refused before memory is taken for it.
        times: how long data connections wait.
        folder: where big payloads are put, and looked for if the other end says that it has put them there.
    """

    def __init__(
        self,
        io: Loop,
        *,
        most_bytes: int = MOST_BYTES,
        times: DataTimes = NORMAL,
        folder: BlobFolder | None = None,
    ) -> None:
        self._io, self._most_bytes, self._times = io, most_bytes, times
        self._folder, self._memory = folder, WarmMemory(io.call_later)
        self._seals = Seals()
        #: Blobs that are looked for here.
        self._looking: dict[bytes, OpenedBlob] = {}
        self._peers: dict[str, DataPeer] = {}
        self._held: dict[bytes, Parcel] = {}
        self.listener: Listener | None = None
        #: How many chunks others have asked for.
        self.asked = 0

    def __repr__(self) -> str:
        return f"<Parcels {len(self._held)} held · {len(self._peers)} peers>"

    def pack(self, frames: Sequence[Any], targets: Sequence[str]) -> Parcel:
        """Make a parcel for these cells; from any thread.

        Raises:
            BlobError: it cannot be put where it should lie.
        """
        return Parcel(frames, targets, self, self._folder, self._memory, self._seals)

    # Who the peers are.

    def meet(self, cell: str, session: Session) -> None:
        """A cell shares a session with this one; one that it had before is over.

        Raises:
            NotAllowed: the session's id is that of another cell's.
        """
        known = self._peers.get(cell)
        if known is not None and known.session.id == session.id:
            return
        if any(peer.session.id == session.id for peer in self._peers.values()):
            raise NotAllowed(f"{cell} offers the session of another cell")
        self.part(cell)
        self._peers[cell] = DataPeer(self._io, cell, session, self, self._times)

    def part(self, cell: str) -> None:
        """A cell is gone for good: what is being fetched from it fails with PeerGone."""
        peer = self._peers.pop(cell, None)
        if peer is not None:
            peer.close()

    def dial(self, cell: str, address: tuple[str, int]) -> None:
        """Keep a data connection to a cell that was met."""
        self._peers[cell].dial(address)

    def greeted(self, data: bytes, sock: socket.socket) -> None:
        """Take a connection from a data port; raises WireError if nobody here shares its session."""
        id = hello_id(data)
        for peer in self._peers.values():
            if peer.session.id == id:
                peer.accept(data, sock)
                return
        raise NotAllowed("its greeting names a session that is not known here")

    def shut(self, linger_ms: int = 0) -> None:
        """See zmq_loop.Closable."""
        for cell in list(self._peers):
            self.part(cell)
        self._memory.close()

    # What comes.

    def fetch(
        self,
        cell: str,
        frames: Sequence[Any],
        done: Callable[[list[Any]], None],
        failed: Callable[[BlobError], None],
    ) -> bytes:
        """Fetch the payload that a message refers to; gives the blob's id.

        Raises:
            WireError: it refers to nothing that can be fetched.
        """
        peer, blob, there = self._referred(cell, frames)
        folder = self._folder if there else None
        if blob.id in self._looking:
            return blob.id

        def here() -> None:
            if self._looking.get(blob.id) is not blob:
                return
            del self._looking[blob.id]
            if blob.complete:
                done(blob.frames())
            elif self._peers.get(cell) is peer:
                peer.fetch(blob, done, failed)
            else:
                failed(PeerGone(f"{cell}, who held these bytes, is gone"))

        if blob.look_in(self._memory.take) or folder is not None:
            self._looking[blob.id] = blob
            threading.Thread(
                target=self._look, args=(blob, folder, here), name="fox-blob", daemon=True
            ).start()
        else:
            peer.fetch(blob, done, failed)
        return blob.id

    def _look(self, blob: OpenedBlob, folder: BlobFolder | None, then: Callable[[], None]) -> None:
        """Find what is here of a blob, in memory and in the folder; the rest is asked for."""
        try:
            blob.check()
            if folder is not None:
                folder.read(blob)
        except BlobError as error:
            log.warning("%s: it is fetched over the network", error)
        finally:
            self._io.call_soon(then)

    def take_up(
        self,
        cell: str,
        frames: Sequence[Any],
        begun: Callable[[OpenedBlob], None],
        failed: Callable[[BlobError], None],
    ) -> bytes:
        """Like `fetch`, but only of the first frame; `need` gets more of it."""
        peer, blob, _ = self._referred(cell, frames)
        if peer.take_up(blob, failed):
            peer.need(blob, blob.chunks_of([0]), lambda: begun(blob))
        return blob.id

    def need(self, cell: str, blob: OpenedBlob, numbers: Sequence[int], done: Callable[[], None]) -> None:
        """Fetch chunks of a blob that was taken up; from any thread."""

        def need() -> None:
            if cell in self._peers:
                self._peers[cell].need(blob, numbers, done)

        self._io.call_soon(need)

    def is_of_another_session(self, cell: str, frames: Sequence[Any]) -> bool:
        """Tell whether a message refers to a blob for an attempt that is over, or was not heard of yet.

        Raises:
            WireError: it refers to nothing that can be fetched.
        """
        peer = self._peers.get(cell)
        return peer is not None and not peer.session.has_wrapped(_ref_of(cell, frames).key)

    def _referred(self, cell: str, frames: Sequence[Any]) -> tuple[DataPeer, OpenedBlob, bool]:
        peer = self._peers.get(cell)
        if peer is None:
            raise NotAllowed(f"{cell} refers to a blob, and shares no session with this end")
        ref = _ref_of(cell, frames)
        key = peer.session.unwrap(ref.key, ref.id)
        return peer, OpenedBlob(ref.id, key, ref.sizes, self._most_bytes, self._memory), ref.folder

    def drop(self, cell: str, id: bytes) -> None:
        """Nobody needs a blob any more; from any thread."""

        def drop() -> None:
            self._looking.pop(id, None)
            if cell in self._peers:
                self._peers[cell].drop(id)

        self._io.call_soon(drop)

    # What is small.

    def is_up(self, cell: str) -> bool:
        """Tell whether there is a data connection; from any thread. If not, one is asked for."""
        peer = self._peers.get(cell)
        if peer is not None and not peer.needed:
            self._io.call_soon(peer.wake)
        return peer is not None and peer.is_up

    def say(self, cell: str, frames: Sequence[Any], otherwise: Callable[[], None]) -> None:
        """Send a small message; do something else if there is no connection by then. From any thread."""
        peer = self._peers.get(cell)
        if peer is None:
            self._io.at_once(otherwise)
        else:
            self._io.at_once(peer.say, frames, otherwise)

    def listen_to(self, cell: str) -> None:
        """Take what a cell has said by now."""
        if cell in self._peers:
            self._peers[cell].listen()

    def came_from(self, cell: str, frames: list[Any]) -> None:
        """See data_peer.Shelf."""
        if self.listener is not None:
            try:
                self.listener.came_from(cell, frames)
            except Exception:
                # The connection is not to blame, and goes on.
                log.exception("what %s said cannot be used", cell)

    def broke(self, cell: str) -> None:
        """See data_peer.Shelf."""
        if self.listener is not None:
            self.listener.broke(cell)

    # What others may have; see parcel.Holder and data_peer.Shelf.

    def wrap(self, cell: str, blob: SealedBlob) -> bytes | None:
        """See Holder; from any thread."""
        peer = self._peers.get(cell)
        if peer is None:
            return None
        self._io.call_soon(peer.wake)
        return peer.session.wrap(blob.key, blob.id)

    def hold(self, parcel: Parcel) -> None:
        """See Holder; from any thread."""
        assert parcel.blob is not None
        self._held[parcel.blob.id] = parcel

    def let_go(self, parcel: Parcel) -> None:
        """See Holder; from any thread."""
        assert parcel.blob is not None
        self._held.pop(parcel.blob.id, None)

    def chunk_for(self, cell: str, id: bytes, number: int) -> tuple[memoryview, bytes]:
        """See Shelf."""
        self.asked += 1
        parcel = self._held.get(id)
        if parcel is None or parcel.blob is None or not parcel.is_for(cell):
            raise BlobError(f"there is no blob {id.hex()[:8]} for {cell} here")
        return parcel.chunk(number)

    def got_by(self, cell: str, id: bytes) -> None:
        """See Shelf."""
        parcel = self._held.get(id)
        if parcel is not None:
            parcel.got(cell)


def _ref_of(cell: str, frames: Sequence[Any]) -> Ref:
    if len(frames) != 1:
        raise WireError(f"{cell} sent {len(frames)} frames where a reference to a blob was due")
    return read_ref(frames[0])
