"""MetricsRelay: what rank 0 does with the entries of its site's other ranks."""

from __future__ import annotations

from ..metric import Batch
from .subprocess_writer import SubprocessWriter


class MetricsRelay:
    """Passes batches of other ranks on, unread and in order, through rank 0's own writer.

    A batch that came is acknowledged to its rank at once: from then on rank 0 holds it, or has dropped and
    counted it.
    """

    def __init__(self, writer: SubprocessWriter) -> None:
        self._writer = writer

    def __repr__(self) -> str:
        return f"<MetricsRelay before {self._writer!r}>"

    def take(self, rank: str, seq: int, batch: Batch) -> None:
        """Take a batch of a rank; number 0 only tells what that rank has dropped."""
        self._writer.dropped_behind(rank, batch.dropped)
        if seq:
            self._writer.put(batch.count, batch.data)
