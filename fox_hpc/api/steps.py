"""Steps: the calls that a script goes through, one by one and the same on all ranks of its site."""

from __future__ import annotations

from typing import Any, Protocol

from .exchange import Exchange, Slots


class ModelShare(Protocol):
    """How the ranks of one site share what rank 0 received.

    Promises that `get(n)` on any rank gives the n-th model that rank 0 put, n = 1, 2, …; the last one
    is None. Does not promise that rank 0 waits until all have it.
    """

    @property
    def rank(self) -> int:
        """This process's rank, 0 is the one that the server talks to."""

    @property
    def world_size(self) -> int:
        """How many ranks the site has."""

    def put(self, seq: int, model: Any) -> None:
        """Rank 0 only: give the seq-th model to the other ranks; None means stopped."""

    def get(self, seq: int, timeout: float | None) -> Any:
        """Other ranks only: wait for the seq-th model.

        Raises:
            TimeoutError: it did not come in time.
        """


class Steps:
    """One rank's way through the calls: rank 0 takes them from the exchange, the others from rank 0.

    Args:
        share: None where the site has one rank.
    """

    def __init__(self, exchange: Exchange, share: ModelShare | None) -> None:
        self._exchange, self._share = exchange, share
        self._taken, self._over = 0, False

    def next(self, timeout: float | None) -> Slots | None:
        """Wait for the next call's slots; None, again and again, once there are no more.

        Raises:
            TimeoutError: it did not come in time.
            FoxError: the call before was not answered.
        """
        if self._over:
            return None
        if self._share is None or self._share.rank == 0:
            slots = self._exchange.take(timeout)
            self._tell(slots)
        else:
            slots = self._share.get(self._taken + 1, timeout)
            self._taken += 1
        self._over = slots is None
        return slots

    def end(self) -> None:
        """No call will be taken any more: the other ranks, if this is rank 0, hear that once."""
        if not self._over and (self._share is None or self._share.rank == 0):
            self._tell(None)
        self._over = True

    def _tell(self, slots: Slots | None) -> None:
        if self._share is not None:
            self._taken += 1
            self._share.put(self._taken, slots)
