"""A place that logs, without a run: what it logs can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from fox_hpc.api.backend import Backend
from fox_hpc.api.context import Context
from fox_hpc.metric import Entry, Point


class Sink:
    """Takes entries, and remembers in which batches they came."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.batches.append(list(entries))

    @property
    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]

    @property
    def values(self) -> list[float]:
        return [entry.value for entry in self.entries if isinstance(entry, Point)]


def at_site(track: Callable[[Sequence[Entry]], None] | None, site: str = "site-1") -> Context:
    return Context(site, (site,), cast(Backend, None), 1, Path(), track=track)
