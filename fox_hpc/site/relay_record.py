"""What a relay writes down before and after it acts: `relay.jsonl` in the run folder.

Each line is one fact. A job that may exist always has a line, also if the relay dies while submitting.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec


class Fact(msgspec.Struct, omit_defaults=True):
    """One line: `what` is submitting, submitted, ready, refused, ended, listening (on `port`), or left.

    A site has left a run whose end it did not wait for: the next relay begins with another attempt.
    """

    what: str
    site: str
    attempt: int
    at: float
    job_id: str = ""
    job_name: str = ""
    state: str = ""
    port: int = 0


class LastAttempt(msgspec.Struct):
    """Where a site's newest attempt stands, as far as the record tells."""

    attempt: int
    what: str
    job_id: str = ""
    job_name: str = ""
    state: str = ""
    was_ready: bool = False


class RelayRecord:
    """Appends facts, each on disk before the next step is taken."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "relay.jsonl"

    def mend(self) -> None:
        """Take away a last line that a crash cut off, before more is written behind it."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.truncate(self.path, whole)

    def add(
        self,
        what: str,
        site: str = "",
        attempt: int = 0,
        *,
        job_id: str = "",
        job_name: str = "",
        state: str = "",
        port: int = 0,
    ) -> None:
        """Append a fact."""
        fact = Fact(what, site, attempt, time.time(), job_id, job_name, state, port)
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

    def port(self) -> int:
        """Give the port on which the relay listened last, 0 if it never did."""
        return next((fact.port for fact in reversed(self.facts()) if fact.what == "listening"), 0)

    def last_attempts(self) -> dict[str, LastAttempt]:
        """Give the newest attempt of each site that has one."""
        last: dict[str, LastAttempt] = {}
        for fact in self.facts():
            if fact.what == "submitting":
                last[fact.site] = LastAttempt(fact.attempt, fact.what, job_name=fact.job_name)
            elif fact.what == "ready":
                last[fact.site].was_ready = True
            elif fact.what == "left":
                last[fact.site].what = fact.what
            elif fact.what in ("submitted", "refused", "ended"):
                one = last[fact.site]
                one.what, one.state = fact.what, fact.state
                one.job_id = fact.job_id or one.job_id
        return last

    def open_names(self) -> list[str]:
        """Give the names of jobs of which nobody knows whether the scheduler took them."""
        names: dict[tuple[str, int], str] = {}
        for fact in self.facts():
            key = (fact.site, fact.attempt)
            if fact.what == "submitting":
                names[key] = fact.job_name
            elif fact.what not in ("listening", "left"):
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
