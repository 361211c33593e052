"""Lanes: which batch of a site's tracked entries is the next one; pure.

A site sends what was not acknowledged again when the line was broken, so that a batch may come twice, or
after a later one. Only the next number counts: what has come is in order, whole and once.
"""

from __future__ import annotations

from ..errors import WireError


class Lanes:
    """The numbers of the batches that have come, for the newest process that speaks for each site."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[int, int], int]] = {}

    def __repr__(self) -> str:
        return f"<Lanes of {len(self._last)} sites>"

    def is_next(self, site: str, attempt: int, id: str) -> bool:
        """Tell whether this is the batch that follows.

        Args:
            id: `number@begun`: torchrun may begin the processes of an attempt anew, each of which counts
                from 1; `begun` grows from one to the next, and what an earlier one says comes too late.

        Raises:
            WireError: the id is another thing.
        """
        number, _, begun = id.partition("@")
        if not number.isdecimal() or not (begun or "0").isdecimal():
            raise WireError(f"{id!r:.40} is not a batch's number")
        source = attempt, int(begun or "0")
        if source > self._last.get(site, ((-1, 0), 0))[0]:
            self._last[site] = source, 0
        newest, last = self._last[site]
        return source == newest and int(number) == last + 1

    def took(self, site: str) -> None:
        """The next batch was taken."""
        source, number = self._last[site]
        self._last[site] = source, number + 1

    def last(self, site: str) -> str:
        """Give the id of the last batch that was taken."""
        (_, begun), number = self._last[site]
        return f"{number}@{begun}"
