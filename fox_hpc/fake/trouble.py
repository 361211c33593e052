"""What can be made to go wrong while a cluster is up: slow and failing queries, lost answers, dead nodes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

PROGRAM = "fox-fake-trouble"
"""The program on PATH that sets troubles: `fox-fake-trouble query_delay_s=2 lost_submits=1`."""
QUERIES = frozenset(
    {"squeue", "sacct", "sinfo", "qstat", "qselect", "pbsnodes", "bjobs", "bhist", "bhosts", "bqueues"}
)
SUBMITS = frozenset({"sbatch", "qsub", "bsub"})


@dataclass(frozen=True)
class Troubles:
    """Troubles that a cluster comes up with; all can be changed while it is up."""

    frozen: bool = False
    """No job starts: all stay pending."""
    query_delay_s: float = 0.0
    """Each query is answered that much later."""
    queries_fail_s: float = 0.0
    """For so long from now on, queries fail as if no scheduler were there."""
    lost_submits: int = 0
    """So many submissions are taken, but the submitter is told that there is no scheduler."""
    failed_submits: int = 0
    """So many submissions fail as if there were no scheduler, and are not taken."""
    broken_json: bool = False
    """JSON as PBS before December 2023 wrote it: values that no JSON reader takes; half of LSF's."""


class Trouble:
    """The troubles of one cluster now."""

    def __init__(self, values: Troubles, now: float) -> None:
        self.now = Troubles(**{each.name: getattr(values, each.name) for each in fields(Troubles)})
        self._queries_fail_until = now + values.queries_fail_s

    def set(self, values: dict[str, Any], now: float) -> None:
        """Change some."""
        self.now = replace(self.now, **values)
        if "queries_fail_s" in values:
            self._queries_fail_until = now + self.now.queries_fail_s

    def fails(self, program: str, now: float) -> bool:
        """Whether this call meets a scheduler that is not there; counts it if only so many do."""
        if program in QUERIES:
            return now < self._queries_fail_until
        if program in SUBMITS and self.now.failed_submits > 0:
            self.now = replace(self.now, failed_submits=self.now.failed_submits - 1)
            return True
        return False

    def delay_s(self, program: str) -> float:
        return self.now.query_delay_s if program in QUERIES else 0.0

    def loses_answer(self, program: str) -> bool:
        return program in SUBMITS and self.now.lost_submits > 0

    def lost_one(self) -> None:
        self.now = replace(self.now, lost_submits=self.now.lost_submits - 1)
