"""OpenedBlob: a blob at its receiver, whose chunks are written where they stay."""

from __future__ import annotations

import bisect
import ctypes
import mmap
from collections.abc import Iterable, Sequence

from ..errors import BlobError
from .blob import CHUNK_BYTES, KEY_BYTES, MOST_BYTES, Plan, cipher, seal_chunk
from .pages import Memory, fresh, region_of
from .seals import Kept, Seal


class OpenedBlob:
    """The receiver's side: chunks are written into the memory where they stay, and opened there.

    Args:
        id, key: as the holder has them.
        sizes: of the frames.
        memory: gives what they lie in.

    Raises:
        BlobError: the sizes are more than this end takes, or keys are missing.
    """

    def __init__(
        self,
        id: bytes,
        key: bytes,
        sizes: Sequence[int],
        most_bytes: int = MOST_BYTES,
        memory: Memory = fresh,
    ) -> None:
        self._memory = memory
        self.id, self.plan = id, Plan(sizes, most_bytes)
        count = len(self.plan.regions)
        if len(key) != count * KEY_BYTES:
            raise BlobError(
                f"a blob of {count} regions has {len(key)} bytes of keys, {KEY_BYTES} each are right"
            )
        self._keys = [key[start : start + KEY_BYTES] for start in range(0, len(key), KEY_BYTES)]
        self._regions: dict[int, memoryview] = {}
        self._addresses: list[tuple[int, int]] = []
        #: Chunks that are here, and their tags.
        self._opened: dict[int, bytes] = {}
        self._missing = [len(self.plan.chunks_in(region)) for region in range(count)]
        self._lasting = frozenset(self.plan.lasting)
        #: Regions that may be here already, and how they would be sealed then.
        self._found: dict[int, Seal] = {}

    def __repr__(self) -> str:
        return f"<OpenedBlob {self.id.hex()[:8]} · {len(self._opened)} of {len(self.plan.chunks)} chunks>"

    @property
    def complete(self) -> bool:
        """True once every chunk was opened."""
        return len(self._opened) == len(self.plan.chunks)

    def has(self, number: int) -> bool:
        """Tell whether a chunk was opened."""
        return number in self._opened

    def chunks_of(self, frames: Iterable[int]) -> list[int]:
        """Give the chunks that hold these frames."""
        regions = {self.plan.places[frame][0] for frame in frames}
        return [number for number, chunk in enumerate(self.plan.chunks) if chunk.region in regions]

    def chunks_at(self, address: int, size: int) -> list[int] | None:
        """Give the chunks that hold the bytes at an address, None if that is not in this blob."""
        if not self._addresses:
            self._addresses = sorted((address_of(self._region(r)), r) for r in range(len(self.plan.regions)))
        at = bisect.bisect_right(self._addresses, (address, len(self.plan.regions))) - 1
        if at < 0:
            return None
        first, region = self._addresses[at]
        start, end = address - first, address - first + size
        if end > self.plan.regions[region]:
            return None
        before = self.plan.first_chunk[region]
        return list(range(before + start // CHUNK_BYTES, before - (-end // CHUNK_BYTES)))

    def drop(self, numbers: Iterable[int]) -> None:
        """Give the memory of chunks back; they are missing again."""
        for number in numbers:
            chunk = self.plan.chunks[number]
            if number in self._opened and chunk.size >= mmap.PAGESIZE:
                del self._opened[number]
                self._missing[chunk.region] += 1
                region = region_of(self._region(chunk.region))
                assert region is not None
                region.give_back(chunk.start, chunk.size)

    def place(self, number: int) -> memoryview:
        """Give the memory where a chunk's ciphertext, without its tag, is to be written."""
        chunk = self.plan.chunks[number]
        return self._region(chunk.region)[chunk.start : chunk.start + chunk.size]

    def _region(self, number: int) -> memoryview:
        if number not in self._regions:
            self._regions[number] = self._memory(self.plan.regions[number])
        return self._regions[number]

    def look_in(self, kept: Kept) -> bool:
        """Take memory that may hold regions of this blob already; `check` tells whether it does."""
        for region in self._lasting - set(self._regions):
            place = kept(self.plan.regions[region], self._keys[region])
            lent = region_of(place) if place is not None else None
            seal = lent.seal if lent is not None else None
            # A peer may say any key with any size.
            if place is not None and seal is not None and len(seal.tags) == self._missing[region]:
                self._regions[region], self._found[region] = place, seal
        return bool(self._found)

    def check(self) -> None:
        """Take as opened what is right of what `look_in` has found; takes as long as to seal it."""
        found, self._found = self._found, {}
        scratch = memoryview(bytearray(CHUNK_BYTES if found else 0))
        for region, seal in found.items():
            same = other = 0
            for number, tag in zip(self.plan.chunks_in(region), seal.tags, strict=True):
                if self._is_here(number, tag, scratch):
                    self._have(number, tag)
                    same += 1
                else:
                    other += 1
                # Who has changed his array has mostly changed all of it.
                if other > same + 1:
                    break

    def _is_here(self, number: int, tag: bytes, scratch: memoryview) -> bool:
        """Tell whether memory holds a chunk, by what it would be if it were sealed."""
        place = self.place(number)
        # The memory was lent to the system, which may take pages away and put zeros there, even between this
        # look at them and their use. It takes none that was written since: so first of all, each of them is.
        place[:: mmap.PAGESIZE] = place[:: mmap.PAGESIZE]
        key = self._keys[self.plan.chunks[number].region]
        return seal_chunk(self.plan, number, key, place, scratch[: place.nbytes]) == tag

    def open(self, number: int, tag: bytes) -> None:
        """Open a chunk where it was written.

        Raises:
            BlobError: it is not what the holder sealed.
        """
        from cryptography.exceptions import InvalidTag

        place, region = self.place(number), self.plan.chunks[number].region
        opener = cipher(self._keys[region], self.plan.within(number)).decryptor()
        opener.authenticate_additional_data(self.plan.bound_to(number))
        try:
            opener.update_into(place, place)
            opener.finalize_with_tag(tag)
        except InvalidTag:
            raise BlobError(f"chunk {number} of {self!r} was changed on its way") from None
        self._have(number, tag)

    def _have(self, number: int, tag: bytes) -> None:
        region = self.plan.chunks[number].region
        self._missing[region] -= number not in self._opened
        self._opened[number] = tag
        if not self._missing[region] and region in self._lasting:
            self._label(region)

    def _label(self, region: int) -> None:
        """Note with the memory of a region that is whole what it holds, for a blob that holds the same."""
        lent = region_of(self._regions[region])
        # Of a late answer some may have been dropped meanwhile, on another thread.
        tags = tuple(tag for number in self.plan.chunks_in(region) if (tag := self._opened.get(number)))
        if lent is not None and len(tags) == len(self.plan.chunks_in(region)):
            lent.seal = Seal(self._keys[region], tags)

    def frames(self) -> list[memoryview]:
        """Give the frames; what was not opened yet has any bytes."""
        return [
            self._region(region)[start : start + size] if size else memoryview(bytearray())
            for size, (region, start) in zip(self.plan.sizes, self.plan.places, strict=True)
        ]


def address_of(place: memoryview) -> int:
    """Give where memory lies."""
    return ctypes.addressof(ctypes.c_char.from_buffer(place))
