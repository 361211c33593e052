"""Which jobs a run may have left behind: from what its relay wrote down. Pure but for `read_facts`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..errors import WorkspaceError
from ..site.relay_record import Fact, RelayRecord


@dataclass(frozen=True)
class Attempt:
    """One submission that nobody has seen the end of.

    Args:
        job_id: "" if nobody knows whether the scheduler took it; `job_name` is what to ask for then.
    """

    site: str
    attempt: int
    job_name: str = ""
    job_id: str = ""

    def __str__(self) -> str:
        job = f"job {self.job_id}" if self.job_id else f"job {self.job_name!r}"
        return f"{self.site} attempt {self.attempt}, {job}"


def read_facts(folder: Path) -> list[Fact]:
    """Read a run's `relay.jsonl`.

    Raises:
        WorkspaceError: it cannot be read, or a line of it is none of ours.
    """
    record = RelayRecord(folder)
    try:
        return record.facts()
    except OSError as error:
        raise WorkspaceError(f"{record.path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WorkspaceError(f"{record.path} has a line that is not a relay's: {error}") from error


def open_attempts(facts: Iterable[Fact]) -> list[Attempt]:
    """Give the attempts that were begun and neither refused nor seen to end, in their order."""
    found: dict[tuple[str, int], Attempt] = {}
    for fact in facts:
        key = (fact.site, fact.attempt)
        if fact.what == "submitting":
            found[key] = Attempt(fact.site, fact.attempt, fact.job_name)
        elif fact.what == "submitted":
            known = found.get(key, Attempt(fact.site, fact.attempt))
            found[key] = replace(known, job_id=fact.job_id)
        elif fact.what in ("refused", "ended"):
            found.pop(key, None)
    return list(found.values())


def submitted_at(facts: Iterable[Fact]) -> dict[str, float]:
    """Tell when each site's last attempt was taken by its scheduler, in seconds since the epoch."""
    return {fact.site: fact.at for fact in facts if fact.what == "submitted"}
