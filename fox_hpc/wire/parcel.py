"""Parcel: the payload of a call or an answer on its way to some cells, as frames or as a blob."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ..errors import BlobError, LinkClosed
from .blob import BIG_BYTES, Ref, size_of
from .blob_folder import BlobFolder
from .pages import Memory, fresh
from .sealed_blob import SealedBlob
from .seals import Seals


class Holder(Protocol):
    """Who answers for blobs that others were referred to; Parcels is one."""

    def wrap(self, cell: str, blob: SealedBlob) -> bytes | None:
        """Seal a blob's key for a cell; None if there is no session with it."""

    def hold(self, parcel: Parcel) -> None:
        """Begin to answer for the parcel's blob."""

    def let_go(self, parcel: Parcel) -> None:
        """Answer for it no more."""


class Parcel:
    """What one call or answer carries; for use from any thread.

    A big one is sealed once, whatever the number of targets. When every target has it, the ciphertext goes;
    a call's own frames stay, in case that a new attempt of a site needs them again.

    Args:
        targets: the cells that it is for.
        holder: None sends everything within the message.
        folder: a big one is written there at once, and not held in memory.
        memory: gives what a big one lies in once it is sealed.
        seals: those of earlier ones, see SealedBlob.

    Raises:
        BlobError: it cannot be written there.
    """

    def __init__(
        self,
        frames: Sequence[Any],
        targets: Sequence[str],
        holder: Holder | None = None,
        folder: BlobFolder | None = None,
        memory: Memory = fresh,
        seals: Seals | None = None,
    ) -> None:
        self._frames = list(frames)
        self._holder, self._folder = holder, folder
        self._lock = threading.Lock()
        self._left, self._without = set(targets), set(targets)
        self.blob: SealedBlob | None = None
        if holder is not None and size_of(frames) > BIG_BYTES:
            self.blob = SealedBlob(frames, memory, seals)
            holder.hold(self)
            if folder is not None:
                self._write(folder)

    def __repr__(self) -> str:
        return f"<Parcel for {len(self._left)} · {self.blob or f'{len(self._frames)} frames'}>"

    def _write(self, folder: BlobFolder) -> None:
        assert self.blob is not None
        try:
            self.blob.seal()
            folder.write(self.blob)
        except BaseException:
            self.close()
            raise
        self.blob.free()

    def chunk(self, number: int) -> tuple[memoryview, bytes]:
        """Give a chunk of the blob, sealed, and its tag; raises BlobError if it cannot be had."""
        if self.blob is None:
            raise BlobError(f"{self!r} has no blob")
        if self._folder is not None:
            return self._folder.chunk(self.blob.id, self.blob.plan, number)
        return self.blob.chunk(number)

    def is_for(self, cell: str) -> bool:
        """Tell whether a cell may have it."""
        return cell in self._left

    def frames_for(self, cell: str) -> tuple[list[Any], int]:
        """Give what goes behind the envelope to a cell, and how many bytes travel by reference.

        Raises:
            LinkClosed: it is big and there is no session with the cell: that comes with its next `ready`.
        """
        if self.blob is None or self._holder is None:
            return self._frames, 0
        wrapped = self._holder.wrap(cell, self.blob)
        if wrapped is None:
            raise LinkClosed(f"{cell} shares no session yet")
        ref = Ref(self.blob.id, wrapped, self.blob.plan.sizes, self._folder is not None)
        return [msgspec.msgpack.encode(ref)], self.blob.plan.total

    def seal(self) -> None:
        """Make sure that the owner of the frames may change them from now on, as far as a blob does."""
        if self.blob is not None and self._folder is None:
            self.blob.seal()

    def snapshot(self) -> None:
        """Make sure that the owner of the frames may change them from now on, and keep none of them."""
        if self.blob is not None:
            self.seal()
            self.blob.forget_frames()
            self._frames = []
        else:
            self._frames = [bytes(frame) for frame in self._frames]

    def got(self, cell: str) -> None:
        """A target has the whole blob."""
        with self._lock:
            self._without.discard(cell)
            if not self._without and self.blob is not None:
                self.blob.free()

    def settled(self, cell: str) -> None:
        """A target needs it no more, whatever happens to its site; after the last one nothing is held."""
        with self._lock:
            self._left.discard(cell)
            self._without.discard(cell)
            last = not self._left
            if not self._without and self.blob is not None:
                self.blob.free()
        if last:
            self.close()

    def close(self) -> None:
        """Hold nothing any more."""
        self._frames = []
        if self.blob is not None and self._holder is not None:
            self._holder.let_go(self)
            self.blob.close()
            if self._folder is not None:
                self._folder.remove(self.blob.id)


#: How a cell makes parcels: of frames, for targets.
Pack = Callable[[Sequence[Any], Sequence[str]], Parcel]
