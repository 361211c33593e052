"""Patience: how long this job's ranks may still work before they should leave by themselves."""

from __future__ import annotations

import math
import time
from pathlib import Path

from .words import DRAIN_FILE

#: A rank that waits for a call looks this often whether its time is up.
LOOK_S = 2.0


class Patience:
    """The soft deadline of a job, from its time limit or from its scheduler's warning.

    Args:
        folder: the attempt's folder, in which the driver notes a warning.
        deadline: clock time, None without a time limit.
    """

    def __init__(self, folder: Path, deadline: float | None) -> None:
        self._drain, self._deadline = folder / DRAIN_FILE, deadline

    def left(self) -> float:
        """Give the seconds that are left; below 0 once the time is up."""
        left = math.inf if self._deadline is None else self._deadline - time.time()
        return min(left, -1.0) if self._drain.exists() else left

    @property
    def over(self) -> bool:
        """True once the time is up."""
        return self.left() <= 0

    def wait_s(self) -> float:
        """Give how long to wait before looking again."""
        return max(0.0, min(LOOK_S, self.left()))
