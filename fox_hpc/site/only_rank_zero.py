"""OnlyRankZero: what a rank without a link upwards has for a backend."""

from __future__ import annotations

from collections.abc import Sequence

from ..call import Call, Pending
from ..errors import FoxError


class OnlyRankZero:
    """The backend of ranks that have no link upwards."""

    secure = True

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """Refuse: a FoxError says who may call."""
        raise FoxError(f"{call.func}() can be called from rank 0 only, which is the one that has a link")

    def cancel(self, pending: Sequence[Pending]) -> None:
        """There is nothing to cancel."""
