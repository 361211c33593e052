"""Backend: how a call leaves this process, whatever carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..call import Call, Pending

__all__ = ["Backend", "Pending"]


class Backend(Protocol):
    """Carries calls to sites and answers back; threads may share one.

    Promises that each future ends exactly once, with the value or with a CallError, and that calls to
    one site run there in the order of `start`. Does not promise any order between sites, nor that a
    cancelled function stops: it is told, and its answer is dropped.
    """

    @property
    def secure(self) -> bool:
        """True if every link is encrypted, or if there is no link."""

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """Send one call to all targets, encoded once; never blocks for an answer.

        The timeout of the call counts from the moment that a running site has it.

        Raises:
            CodecError: an argument cannot be encoded; nothing was sent.
        """

    def cancel(self, pending: Sequence[Pending]) -> None:
        """Fail these calls with CallCancelled at once, and tell the far side; ended ones stay as they are."""
