"""Pace: how often the queue is looked at. Pure."""

from __future__ import annotations

#: A look that took longer than this makes the next ones rarer: the scheduler has enough to do.
SLOW_S = 5.0
#: … up to so many times the usual period.
RARER = 10


class Pace:
    """The period of the looks, in seconds.

    Args:
        usual_s: that of a scheduler that answers quickly.
    """

    def __init__(self, usual_s: float) -> None:
        self.usual_s = self.period_s = usual_s

    def looked(self, took_s: float) -> None:
        """Note how long a look took; a quick one brings the usual period back."""
        slow = took_s > SLOW_S
        self.period_s = min(self.period_s * 2, self.usual_s * RARER) if slow else self.usual_s

    def explain(self, trouble: str) -> str:
        """Give what is wrong with the scheduler's answers, and how often it is asked because of that."""
        rarer = trouble and self.period_s > self.usual_s
        return f"{trouble}; it is asked every {self.period_s:g} s" if rarer else trouble
