"""Patience: how long this job's ranks may still work before they should leave by themselves."""

from __future__ import annotations

import math
import time
from pathlib import Path

from .words import DRAIN_FILE

#: A rank that waits for a call looks this often whether its time is up.
LOOK_S = 2.0
#: A warning is a file, maybe on a slow shared disk: it is looked for so often at most.
WARNING_S = 0.1


class Patience:
    """The soft deadline of a job, from its time limit or from its scheduler's warning.

    Args:
        folder: the attempt's folder, in which the driver notes a warning.
        deadline: clock time, None without a time limit.
    """

    def __init__(self, folder: Path, deadline: float | None) -> None:
        self._drain, self._deadline = folder / DRAIN_FILE, deadline
        self._warned, self._next_look = False, -math.inf

    def left(self) -> float:
        """Give the seconds that are left; below 0 once the time is up."""
        left = math.inf if self._deadline is None else self._deadline - time.time()
        now = time.monotonic()
        if not self._warned and now >= self._next_look:
            self._warned, self._next_look = self._drain.exists(), now + WARNING_S
        return min(left, -1.0) if self._warned else left

    @property
    def over(self) -> bool:
        """True once the time is up."""
        return self.left() <= 0

    def wait_s(self) -> float:
        """Give how long to wait before looking again."""
        return max(0.0, min(LOOK_S, self.left()))
