"""Lanes: which batch of a site's tracked entries is the next one; pure.

A site sends what was not acknowledged again when the line was broken, so that a batch may come twice, or
after a later one. Only the next number counts: what has come is in order, whole and once.
"""

from __future__ import annotations

from ..errors import WireError


class Lanes:
    """The numbers of the batches that have come, for the newest attempt of each site."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"<Lanes of {len(self._last)} sites>"

    def is_next(self, site: str, attempt: int, id: str) -> bool:
        """Tell whether this is the batch that follows; the first of a new attempt is number 1.

        Raises:
            WireError: the id is no number.
        """
        if not id.isdecimal():
            raise WireError(f"{id!r:.40} is not a batch's number")
        if attempt != self._last.get(site, (None, 0))[0]:
            self._last[site] = (attempt, 0)
        return int(id) == self.last(site) + 1

    def took(self, site: str) -> None:
        """The next batch was taken."""
        attempt, seq = self._last[site]
        self._last[site] = (attempt, seq + 1)

    def last(self, site: str) -> int:
        """Give the number of the last batch that was taken."""
        return self._last[site][1]
