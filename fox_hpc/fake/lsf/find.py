"""Which jobs the words of a command mean."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import ranges
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.lsf.options import Options, last
from fox_hpc.fake.lsf.record import UNFINISHED, base_id, shown_name, stat
from fox_hpc.fake.request import Refused, Request


def check_id(word: str) -> None:
    """Raise Refused as recorded for what is no job id."""
    if not re.fullmatch(r"\d+(\[[\d,\-:\s]+\])?", word):
        raise Refused(f"{word}: Illegal job ID.", 255)


def by_id(jobs: Iterable[Job], word: str) -> list[Job]:
    """Jobs of `36`, `36[2]` or `36[1-3,5]`; an array's bare id means all its elements."""
    base, _, part = word.partition("[")
    found = [job for job in jobs if base_id(job) == int(base)]
    if not part:
        return found
    wanted = _indexes(part.rstrip("]"))
    return [job for job in found if job.array and job.array.index in wanted]


class Index:
    """Many jobs, to look up many ids in."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._by_base: dict[int, list[Job]] = {}
        for job in jobs:
            self._by_base.setdefault(base_id(job), []).append(job)

    def find(self, word: str) -> list[Job]:
        return by_id(self._by_base.get(int(word.partition("[")[0]), ()), word)


def remembered(engine: Engine) -> list[Job]:
    """Jobs that LSF has in memory: ended ones for CLEAN_PERIOD, lost ones until they are known to be over."""
    return [
        job
        for job in engine.jobs.values()
        if job.details and (engine.remembers(job) or is_unfinished(engine, job))
    ]


def is_unfinished(engine: Engine, job: Job) -> bool:
    return stat(engine, job) in UNFINISHED


def matches(job: Job, request: Request, options: Options, everyone: bool = False) -> bool:
    """Whether the filters -u -q -J -P -m let the job through; without -u it is the caller's own jobs."""
    users = last(options, "u", default="all" if everyone else request.user)
    if users != "all" and job.user not in users.split():
        return False
    if "q" in options and job.queue not in last(options, "q").split():
        return False
    if "m" in options and not set(last(options, "m").split()) & set(job.nodes):
        return False
    name = last(options, "J")
    # A name with brackets is an array's element; the brackets are no pattern.
    pattern = name.replace("[", "[[]") if name else "*"
    return any(fnmatch.fnmatchcase(one, pattern) for one in (job.name, shown_name(job)))


def array_spec(job: Job) -> str:
    array = job.array
    if array is None:
        return job.name
    return f"{job.name}[{ranges(array.indexes)}]" + (f"%{array.throttle}" if array.throttle else "")


def _indexes(text: str) -> set[int]:
    found: set[int] = set()
    for piece in text.split(","):
        bounds, _, step = piece.strip().partition(":")
        low, _, high = bounds.partition("-")
        if low.isdigit():
            found |= set(range(int(low), int(high or low) + 1, int(step or 1)))
    return found
