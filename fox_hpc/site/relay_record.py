"""What a relay writes down before and after it acts: `relay.jsonl` in the run folder.

Each line is one fact. A job that may exist always has a line, also if the relay dies while submitting.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec


class Fact(msgspec.Struct, omit_defaults=True):
    """One line: `what` is submitting, submitted, refused or ended."""

    what: str
    site: str
    attempt: int
    at: float
    job_id: str = ""
    job_name: str = ""
    state: str = ""


class RelayRecord:
    """Appends facts, each on disk before the next step is taken."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "relay.jsonl"

    def add(
        self, what: str, site: str, attempt: int, *, job_id: str = "", job_name: str = "", state: str = ""
    ) -> None:
        """Append a fact."""
        fact = Fact(what, site, attempt, time.time(), job_id, job_name, state)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(fact) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def facts(self) -> list[Fact]:
        """Read all facts; a last line that was cut off by a crash is left out."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=Fact) for line in lines[:-1]]

    def open_names(self) -> list[str]:
        """Give the names of jobs of which nobody knows whether the scheduler took them."""
        names: dict[tuple[str, int], str] = {}
        for fact in self.facts():
            key = (fact.site, fact.attempt)
            if fact.what == "submitting":
                names[key] = fact.job_name
            else:
                names.pop(key, None)
        return list(names.values())

    def open_jobs(self) -> list[str]:
        """Give the ids of jobs that were submitted and whose end nobody wrote down."""
        jobs: dict[tuple[str, int], str] = {}
        for fact in self.facts():
            key = (fact.site, fact.attempt)
            if fact.what == "submitted":
                jobs[key] = fact.job_id
            elif fact.what == "ended":
                jobs.pop(key, None)
        return list(jobs.values())
