"""Blobs: big payloads that travel by reference, cut into chunks that are sealed end to end.

A blob is what the frames of one message hold together. Its plan, which both ends make from the frames'
sizes alone, says where each chunk's bytes lie: a big frame has chunks of its own, so that it can be
received in the memory where it stays; small frames share one.

Each chunk is AES-256-GCM under a key that is made for the blob and given to its receivers only. The nonce
is the chunk's number, and the blob's id and size are authenticated with it: a chunk that was changed, moved
to another place or taken from another blob does not open. Two different plaintexts are never sealed under
one nonce: a chunk that is sealed again must give the same tag.

Sources: AES-GCM, NIST SP 800-38D; one key per blob bounds its use far below the limits of section 8.3.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import BlobError, WireError
from ..late import LATE_BYTES
from .pages import Memory, fresh

log = logging.getLogger(__name__)

#: What is bigger than this travels by reference.
BIG_BYTES = LATE_BYTES
CHUNK_BYTES = 2 * 2**20
TAG_BYTES = 16
#: Frames start at multiples of this, which suits every dtype.
ALIGN = 64
#: The most that one message may hold, unless this end was told otherwise.
MOST_BYTES = 2**40
MOST_FRAMES = 2**20

_PLACE = struct.Struct(">16sIIQ")


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """What travels in place of a blob.

    Args:
        id: names the blob, 16 random bytes.
        key: its key, wrapped for one receiver.
        sizes: bytes of each frame, in order.
        folder: the blob is in the folder that both ends were told of.
    """

    id: bytes
    key: bytes
    sizes: tuple[int, ...]
    folder: bool = False


_read_ref = msgspec.msgpack.Decoder(Ref).decode


def read_ref(frame: Any) -> Ref:
    """Read what travels in place of a blob.

    Raises:
        WireError: it cannot be read, or refers to nothing.
    """
    try:
        ref = _read_ref(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise WireError(f"a reference to a blob cannot be read: {error}") from error
    if not ref.sizes:
        raise WireError("a reference to a blob without frames came")
    return ref


class Chunk(NamedTuple):
    """Where the bytes of a chunk lie: in which region, from where, how many."""

    region: int
    start: int
    size: int


class Plan:
    """How frames of given sizes are laid out in regions of memory and cut into chunks; pure.

    Raises:
        BlobError: the sizes are more than may come in one message.
    """

    def __init__(self, sizes: Sequence[int], most_bytes: int = MOST_BYTES) -> None:
        self.sizes, self.total = tuple(sizes), sum(sizes)
        if len(sizes) > MOST_FRAMES or self.total > most_bytes or any(size < 0 for size in sizes):
            raise BlobError(
                f"a message of {len(sizes)} frames and {self.total} bytes is more than the "
                f"{MOST_FRAMES} frames and {most_bytes} bytes that are taken"
            )
        #: The region and the start of each frame.
        self.places: list[tuple[int, int]] = []
        self.regions: list[int] = []
        #: The numbers of the frames in each region.
        self.lying_in: list[list[int]] = []
        self._lay_out()
        self.total_room = sum(self.regions)
        self.chunks: list[Chunk] = []
        #: The number of each region's first chunk.
        self.first_chunk: list[int] = []
        for region, size in enumerate(self.regions):
            self.first_chunk.append(len(self.chunks))
            starts = range(0, size, CHUNK_BYTES)
            self.chunks += [Chunk(region, start, min(CHUNK_BYTES, size - start)) for start in starts]

    def _lay_out(self) -> None:
        shared = -1
        for size in self.sizes:
            room = -(-size // ALIGN) * ALIGN
            if size >= BIG_BYTES:
                self._place(self._region(), size)
                continue
            if shared < 0 or self.regions[shared] + room > CHUNK_BYTES:
                shared = self._region()
            self._place(shared, room)

    def _region(self) -> int:
        self.regions.append(0)
        self.lying_in.append([])
        return len(self.regions) - 1

    def _place(self, region: int, room: int) -> None:
        self.lying_in[region].append(len(self.places))
        self.places.append((region, self.regions[region]))
        self.regions[region] += room

    def bound_to(self, id: bytes, number: int) -> bytes:
        """Give what is authenticated with a chunk: whose it is, and where it belongs."""
        return _PLACE.pack(id, number, len(self.chunks), self.total)


class SealedBlob:
    """The holder's side: frames, and their chunks as ciphertext.

    Once it was sealed, what the frames' owner does to his arrays does not change what receivers get. After
    `free` only the tags are left, and chunks are sealed again when they are asked for.

    Args:
        frames: the buffers; they are referred to until `forget_frames` or `close`.
        memory: gives what the ciphertext lies in.
    """

    def __init__(self, frames: Sequence[Any], memory: Memory = fresh) -> None:
        self.id, self.key = os.urandom(16), os.urandom(32)
        self._frames = [memoryview(frame).cast("B") for frame in frames]
        self.plan = Plan([frame.nbytes for frame in self._frames])
        # Laid out as at the receiver's, so that what comes back fits where this lay.
        self._sealed: list[memoryview] | None = [memory(size) for size in self.plan.regions]
        self._tags: list[bytes] = []
        self._closed = False
        self._grown = threading.Condition()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "freed" if self._sealed is None else "sealed"
        return f"<SealedBlob {self.id.hex()[:8]} · {self.plan.total} bytes · {state}>"

    def seal(self) -> None:
        """Seal every chunk, in order; receivers may take those that are ready meanwhile."""
        # Held here: it may be closed meanwhile, by an end of its calls on another thread.
        frames, sealed = self._frames, self._sealed
        try:
            for number, chunk in enumerate(self.plan.chunks):
                if self._closed or sealed is None:
                    return
                tag = self._seal_into(number, place_of(chunk, sealed), frames)
                with self._grown:
                    self._tags.append(tag)
                    self._grown.notify_all()
        except BaseException:
            self.close()
            raise

    def forget_frames(self) -> None:
        """Let go of the frames; the ciphertext is all that is needed until `close`."""
        self._frames = []

    def free(self) -> None:
        """Every receiver has it: let go of the ciphertext."""
        self._sealed = None

    def close(self) -> None:
        """Nobody will ask any more."""
        with self._grown:
            self._closed, self._sealed, self._frames = True, None, []
            self._grown.notify_all()

    def chunk(self, number: int) -> tuple[memoryview, bytes]:
        """Give a chunk's ciphertext and its tag; waits until it is sealed.

        Raises:
            BlobError: there is no such chunk, or the blob was closed, or its arrays were changed since it
                was sealed.
        """
        if not 0 <= number < len(self.plan.chunks):
            raise BlobError(f"{self!r} has no chunk {number}")
        with self._grown:
            self._grown.wait_for(lambda: number < len(self._tags) or self._closed)
            sealed, chunk = self._sealed, self.plan.chunks[number]
        if sealed is not None:
            return place_of(chunk, sealed), self._tags[number]
        return self._seal_again(number, chunk.size)

    def _seal_again(self, number: int, size: int) -> tuple[memoryview, bytes]:
        frames = self._frames
        if not frames:
            raise BlobError(f"{self!r} is not held any more")
        place = memoryview(bytearray(size))
        if self._seal_into(number, place, frames) != self._tags[number]:
            words = (
                "the arguments of an open call were changed, and a site needs them again: leave arrays as "
                "they are until every site has answered"
            )
            # The site is told no more than that it cannot have them.
            log.warning("%s", words)
            raise BlobError(words)
        return place, self._tags[number]

    def _seal_into(self, number: int, place: memoryview, frames: Sequence[memoryview]) -> bytes:
        sealer = cipher(self.key, number).encryptor()
        sealer.authenticate_additional_data(self.plan.bound_to(self.id, number))
        sealer.update_into(self._plain(self.plan.chunks[number], frames), place)
        sealer.finalize()
        return bytes(sealer.tag)

    def _plain(self, chunk: Chunk, frames: Sequence[memoryview]) -> Any:
        numbers = self.plan.lying_in[chunk.region]
        if self.plan.sizes[numbers[0]] >= BIG_BYTES:
            return frames[numbers[0]][chunk.start : chunk.start + chunk.size]
        parts = bytearray(chunk.size)
        for number in numbers:
            start = self.plan.places[number][1]
            parts[start : start + self.plan.sizes[number]] = frames[number]
        return parts


def place_of(chunk: Chunk, regions: Sequence[memoryview]) -> memoryview:
    """Give the memory of a chunk."""
    return regions[chunk.region][chunk.start : chunk.start + chunk.size]


def cipher(key: bytes, number: int) -> Any:
    """Give AES-GCM for a chunk."""
    # Loaded with the first blob: a process that only passes messages on never needs it.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.GCM(number.to_bytes(12, "big")))
