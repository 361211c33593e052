"""Refusals: what was not let in, or not believed; logged once for each kind and peer, and counted."""

from __future__ import annotations

import logging
import threading
from collections import Counter

log = logging.getLogger(__name__)

#: So many different ones are logged; more are counted only, lest strangers fill the log and the memory.
LOGGED = 1000


class Refusals:
    """For use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._said: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<Refusals {dict(self._counts)}>"

    def note(self, kind: str, who: str, sentence: str) -> None:
        """Count one, and log the sentence if it is the first of its kind from whoever it was."""
        with self._lock:
            self._counts[kind] += 1
            first = (kind, who) not in self._said and len(self._said) < LOGGED
            if first:
                self._said.add((kind, who))
        if first:
            log.warning("refused: %s", sentence)

    def counts(self) -> dict[str, int]:
        """Give how many there were of each kind."""
        with self._lock:
            return dict(self._counts)
