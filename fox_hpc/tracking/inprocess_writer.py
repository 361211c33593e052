"""InProcessWriter: the writer where the receivers are in the same process: at the server, and in SimEnv."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..metric import Entry, pack
from .writer import BaseWriter


class InProcessWriter(BaseWriter):
    """Hands entries to the run's receivers, packed as for the wire: what cannot travel fails here too.

    Args:
        take: takes (site, packed entries) and does not block; TrackingReceiver.take.
    """

    def __init__(self, site: str, take: Callable[[str, bytes], None]) -> None:
        self.site, self._take = site, take

    def __repr__(self) -> str:
        return f"<InProcessWriter {self.site}>"

    def write(self, entries: Sequence[Entry]) -> None:
        """Hand the entries on."""
        for _, data in pack(entries):
            self._take(self.site, data)
