"""Doubt: what is to be done about a submission of which nobody knows whether the scheduler took it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: A scheduler that has been busy works off a submission long after its command gave up: a job that has no
#: trace in the queue after this long is taken to be none, and another one is submitted in its place …
SETTLE_S = 30.0
#: … and if it comes all the same within this time, it is cancelled.
GHOST_S = 600.0
#: So many submissions of one site may come to nothing in a row.
TRIES = 3
_LOOKS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass
class Doubt:
    """One such submission.

    Args:
        name: the job's, which no other job has.
        words: what the command that submitted it said, "" if its relay died before it heard.
        since: when that was, on the clock that `now` is from.
    """

    name: str
    words: str
    since: float
    looks: int = 0

    def next_look(self, now: float, poll_s: float) -> float:
        """Say when to look for the job again: quickly at first, then at the period of all looks."""
        pause_s = _LOOKS_S[self.looks] if self.looks < len(_LOOKS_S) else poll_s
        self.looks += 1
        return now + min(pause_s, poll_s)

    def reason(self, problem: str) -> str:
        """Say why the site waits, and for which job one may look oneself.

        Args:
            problem: why the last look for it told nothing, "" if the queue answered that it has no such job.
        """
        said = problem or "it is not in the queue"
        return f"whether job {self.name} was taken is not known ({self.words}): looked for by name, {said}"

    def settled(self, now: float, poll_s: float) -> bool:
        """Tell whether a queue that has no such job now will not have it later either.

        Args:
            poll_s: a queue that is looked at often is a quick one.
        """
        return now - self.since >= min(SETTLE_S, 5 * poll_s)
