"""SealedBlob: a blob at its holder, who seals its chunks and gives them to whom it is for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

from ..errors import BlobError
from .blob import BIG_BYTES, KEY_BYTES, Chunk, Plan, place_of, seal_chunk
from .pages import Memory, fresh
from .seals import Mark, Seal, Seals, mark_of

log = logging.getLogger(__name__)


class SealedBlob:
    """The holder's side: frames, and their chunks as ciphertext.

    Once it was sealed, what the frames' owner does to his arrays does not change what receivers get. After
    `free` only the tags are left, and chunks are sealed again when they are asked for.

    Args:
        frames: the buffers; they are referred to until `forget_frames` or `close`.
        memory: gives what the ciphertext lies in.
        seals: what is found there gets the key that it had, and is sealed by now.
    """

    def __init__(self, frames: Sequence[Any], memory: Memory = fresh, seals: Seals | None = None) -> None:
        self.id = os.urandom(16)
        self._frames = [memoryview(frame).cast("B") for frame in frames]
        self.plan = Plan([frame.nbytes for frame in self._frames])
        # Laid out as at the receiver's, so that what comes back fits where this lay.
        self._sealed: list[memoryview] | None = [memory(size) for size in self.plan.regions]
        self._keys = [os.urandom(KEY_BYTES) for _ in self.plan.regions]
        self._tags: list[bytes | None] = [None] * len(self.plan.chunks)
        self._closed = False
        self._grown = threading.Condition()
        self._seals = seals
        #: Of what is not among the seals yet.
        self._marks: dict[int, Mark] = {}
        if seals is not None:
            self._seal_known(seals)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "freed" if self._sealed is None else "sealed"
        return f"<SealedBlob {self.id.hex()[:8]} · {self.plan.total} bytes · {state}>"

    @property
    def key(self) -> bytes:
        """Its regions' keys, in order."""
        return b"".join(self._keys)

    def _seal_known(self, seals: Seals) -> None:
        """Seal what was sealed before; at once, since receivers are told of the keys before `seal`."""
        same: list[tuple[Mark, Seal]] = []
        for region, frame in self.plan.lasting.items():
            mark = mark_of(self._frames[frame])
            seal = seals.take(mark)
            if seal is not None and self._seal_as(region, seal):
                same.append((mark, seal))
            else:
                self._marks[region] = mark
        for mark, seal in same:
            seals.put(mark, seal)

    def _seal_as(self, region: int, seal: Seal) -> bool:
        """Seal a region as one was before; False if it holds something else."""
        assert self._sealed is not None
        numbers, self._keys[region] = self.plan.chunks_in(region), seal.key
        for number, tag in zip(numbers, seal.tags, strict=True):
            place = place_of(self.plan.chunks[number], self._sealed)
            if self._seal_into(number, place, self._frames) != tag:
                # Another plaintext under the same nonce: nobody may see this ciphertext. None is given out
                # without a tag, and by then it was sealed anew.
                self._keys[region] = os.urandom(KEY_BYTES)
                return False
        self._tags[numbers.start : numbers.stop] = seal.tags
        return True

    def seal(self) -> None:
        """Seal every chunk, in order; receivers may take those that are ready meanwhile."""
        # Held here: it may be closed meanwhile, by an end of its calls on another thread.
        frames, sealed = self._frames, self._sealed
        try:
            for number, chunk in enumerate(self.plan.chunks):
                if self._closed or sealed is None:
                    return
                if self._tags[number] is None:
                    tag = self._seal_into(number, place_of(chunk, sealed), frames)
                    with self._grown:
                        self._tags[number] = tag
                        self._grown.notify_all()
        except BaseException:
            self.close()
            raise
        self._remember()

    def _remember(self) -> None:
        marks, self._marks = self._marks, {}
        for region, mark in marks.items():
            tags = tuple(tag for number in self.plan.chunks_in(region) if (tag := self._tags[number]))
            assert self._seals is not None
            self._seals.put(mark, Seal(self._keys[region], tags))

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
            self._grown.wait_for(lambda: self._tags[number] is not None or self._closed)
            sealed, tag = self._sealed, self._tags[number]
        if sealed is not None and tag is not None:
            return place_of(self.plan.chunks[number], sealed), tag
        return self._seal_again(number)

    def _seal_again(self, number: int) -> tuple[memoryview, bytes]:
        frames, tag = self._frames, self._tags[number]
        if not frames or tag is None:
            raise BlobError(f"{self!r} is not held any more")
        place = memoryview(bytearray(self.plan.chunks[number].size))
        if self._seal_into(number, place, frames) != tag:
            words = (
                "the arguments of an open call were changed, and a site needs them again: leave arrays as "
                "they are until every site has answered"
            )
            # The site is told no more than that it cannot have them.
            log.warning("%s", words)
            raise BlobError(words)
        return place, tag

    def _seal_into(self, number: int, place: memoryview, frames: Sequence[memoryview]) -> bytes:
        chunk = self.plan.chunks[number]
        return seal_chunk(self.plan, number, self._keys[chunk.region], self._plain(chunk, frames), place)

    def _plain(self, chunk: Chunk, frames: Sequence[memoryview]) -> Any:
        numbers = self.plan.lying_in[chunk.region]
        if self.plan.sizes[numbers[0]] >= BIG_BYTES:
            return frames[numbers[0]][chunk.start : chunk.start + chunk.size]
        parts = bytearray(chunk.size)
        for number in numbers:
            start = self.plan.places[number][1]
            parts[start : start + self.plan.sizes[number]] = frames[number]
        return parts
