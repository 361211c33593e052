"""OpenedBlob: a blob at its receiver, whose chunks are written where they stay."""

from __future__ import annotations

import bisect
import ctypes
import mmap
from collections.abc import Iterable, Sequence

from ..errors import BlobError
from .blob import CHUNK_BYTES, MOST_BYTES, Plan, cipher
from .pages import Memory, fresh, region_of


class OpenedBlob:
    """The receiver's side: chunks are written into the memory where they stay, and opened there.

    Args:
        id, key: as the holder has them.
        sizes: of the frames.
        memory: gives what they lie in.

    Raises:
        BlobError: the sizes are more than this end takes.
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
        self._key = key
        self._regions: dict[int, memoryview] = {}
        self._addresses: list[tuple[int, int]] = []
        self._opened: set[int] = set()

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
                self._opened.discard(number)
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

    def open(self, number: int, tag: bytes) -> None:
        """Open a chunk where it was written.

        Raises:
            BlobError: it is not what the holder sealed.
        """
        from cryptography.exceptions import InvalidTag

        place = self.place(number)
        opener = cipher(self._key, number).decryptor()
        opener.authenticate_additional_data(self.plan.bound_to(self.id, number))
        try:
            opener.update_into(place, place)
            opener.finalize_with_tag(tag)
        except InvalidTag:
            raise BlobError(f"chunk {number} of {self!r} was changed on its way") from None
        self._opened.add(number)

    def frames(self) -> list[memoryview]:
        """Give the frames; what was not opened yet has any bytes."""
        return [
            self._region(region)[start : start + size] if size else memoryview(bytearray())
            for size, (region, start) in zip(self.plan.sizes, self.plan.places, strict=True)
        ]


def address_of(place: memoryview) -> int:
    """Give where memory lies."""
    return ctypes.addressof(ctypes.c_char.from_buffer(place))
