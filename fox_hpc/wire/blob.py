"""Blobs: big payloads that travel by reference, cut into chunks that are sealed end to end.

A blob is what the frames of one message hold together. Its plan, which both ends make from the frames'
sizes alone, says where each chunk's bytes lie: a big frame has chunks of its own, so that it can be
received in the memory where it stays; small frames share one.

Each chunk is AES-256-GCM under the key of its region, which is given to the blob's receivers only. The nonce
is the chunk's number within the region, and the region's size is authenticated with it: a chunk that was
changed, moved to another place or taken from another blob does not open. A key has one plaintext. A frame
whose bytes were sealed before gets the key of that time again, so that a receiver can tell that it has them;
what is sealed again leaves only if every chunk has given the same tag.

Sources: AES-GCM, NIST SP 800-38D; one key per region bounds its use far below the limits of section 8.3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import BlobError, WireError
from ..late import LATE_BYTES

#: What is bigger than this travels by reference.
BIG_BYTES = LATE_BYTES
CHUNK_BYTES = 2 * 2**20
TAG_BYTES = 16
KEY_BYTES = 32
#: Frames start at multiples of this, which suits every dtype.
ALIGN = 64
#: The most that one message may hold, unless this end was told otherwise.
MOST_BYTES = 2**40
MOST_FRAMES = 2**20

_PLACE = struct.Struct(">IIQ")


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """What travels in place of a blob.

    Args:
        id: names the blob, 16 random bytes.
        key: its regions' keys, in order, wrapped for one receiver.
        sizes: bytes of each frame, in order.
        folder: the blob is in the folder that both ends were told of.
    """

    id: bytes
    key: bytes
    sizes: tuple[int, ...]
    folder: bool = False


_read_ref = msgspec.msgpack.Decoder(Ref).decode


def size_of(frames: Sequence[Any]) -> int:
    """Give how many bytes frames have together."""
    size = 0
    for frame in frames:
        size += len(frame) if type(frame) is bytes else memoryview(frame).nbytes
    return size


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

    @property
    def lasting(self) -> dict[int, int]:
        """Regions that may hold the same as one of an earlier blob, and whose only frame each of them is.

        Never the first frame: it says what is done with the others, and is another one each time. So a
        receiver always has something to fetch, and with it says that it has all.
        """
        return {
            self.places[frame][0]: frame
            for frame, size in enumerate(self.sizes)
            if frame and size >= BIG_BYTES
        }

    def chunks_in(self, region: int) -> range:
        """Give the numbers of a region's chunks."""
        first = self.first_chunk[region]
        return range(first, first - (-self.regions[region] // CHUNK_BYTES))

    def bound_to(self, number: int) -> bytes:
        """Give what is authenticated with a chunk: where it belongs in its region, and how big that is."""
        region = self.chunks[number].region
        size = sum(self.sizes[frame] for frame in self.lying_in[region])
        return _PLACE.pack(self.within(number), len(self.chunks_in(region)), size)

    def within(self, number: int) -> int:
        """Give a chunk's number within its region."""
        return self.chunks[number].start // CHUNK_BYTES


def place_of(chunk: Chunk, regions: Sequence[memoryview]) -> memoryview:
    """Give the memory of a chunk."""
    return regions[chunk.region][chunk.start : chunk.start + chunk.size]


def seal_chunk(plan: Plan, number: int, key: bytes, plain: Any, place: memoryview) -> bytes:
    """Seal a chunk into a place; gives the tag."""
    sealer = cipher(key, plan.within(number)).encryptor()
    sealer.authenticate_additional_data(plan.bound_to(number))
    sealer.update_into(plain, place)
    sealer.finalize()
    return bytes(sealer.tag)


def cipher(key: bytes, number: int) -> Any:
    """Give AES-GCM for a chunk, by its number within the region that the key is of."""
    # Loaded with the first blob: a process that only passes messages on never needs it.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.GCM(number.to_bytes(12, "big")))
