"""Where big frames are kept for as long as somebody may ask for them again.

A message holds its frames whole. This is the one place that knows how an answer's bytes are held, so that
chunks which travel by reference can take over here without a change in codec or cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def hold(frames: Sequence[Any]) -> list[bytes]:
    """Take frames into keeping: they stay as they are now, whatever their owner does to his arrays."""
    return [bytes(frame) for frame in frames]
