"""Copies: what one place of a simulation sends and another gets, as over a wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..wire.pages import LEAST_BYTES, WarmMemory


class Copies:
    """Copies frames, so that who sent them may go on with his arrays; from any thread.

    Big ones lie in memory that is used again while it is warm, as at a worker, and other places work while
    they are copied.

    Args:
        call_later: runs an action after some seconds.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self._memory = WarmMemory(call_later)

    def __repr__(self) -> str:
        return f"<Copies in {self._memory!r}>"

    def __call__(self, frames: Sequence[Any]) -> list[Any]:
        """Give frames of the same bytes.

        Raises:
            BlobError: there is no memory for one.
        """
        return [self._copy(memoryview(frame)) for frame in frames]

    def _copy(self, frame: memoryview) -> Any:
        if frame.nbytes < LEAST_BYTES:
            return bytearray(frame)
        import numpy as np

        place = self._memory(frame.nbytes)
        # A slice of a memoryview would be copied with all other threads held up.
        np.copyto(np.frombuffer(place, np.uint8), np.frombuffer(frame, np.uint8))
        return place

    def close(self) -> None:
        """Keep no memory from now on; what was given stays."""
        self._memory.close()
