"""What only PBS knows of a job, and the ids it goes by."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.resources import Request as Resources


@dataclass
class Output:
    """Where the job's streams go: `join` is n, oe or eo; `keep` and `remove` are n, or letters of oed."""

    stdout: str
    stderr: str
    join: str = "n"
    keep: str = "n"
    remove: str = ""


@dataclass
class Details:
    resources: Resources
    output: Output
    variables: dict[str, str]
    home: str
    shell: str
    cookie: str
    arguments: str = ""
    command: list[str] = field(default_factory=list)
    umask: int = 0o077
    execution_time: float = 0.0
    project: str = "_pbs_project_default"
    mail: str = "a"
    priority: int = 0
    sandbox: bool = False
    depend: str = ""

    before: list[str] = field(default_factory=list)
    """What the job's own record says of those who depend on it."""
    held_words: str = ""
    deleted_by: str = ""
    forced: bool = False
    lost: bool = False
    """Its first node is gone; nobody can say how it ended."""
    exec_host: str = ""
    session_id: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    until_told: bool = False
    """Suspended by a manager: it does not go on when there is room."""
    stopped: float = 0.0
    stopped_s: float = 0.0
    """How long it stood still in all: that is no walltime."""
    limit_s: float = 0.0
    staged_out: bool = True
    last_exit: int | None = None
    """Exit_status of a run that was put back, shown until the next run."""


def details(job: Job) -> Details:
    found = job.details
    assert isinstance(found, Details)
    return found


def sequence(job: Job) -> int:
    """The number that the job's id begins with."""
    return job.array.job_id if job.array else job.id


def job_id(engine: Engine, job: Job) -> str:
    index = f"[{job.array.index}]" if job.array else ""
    return f"{sequence(job)}{index}.{engine.config.server_name}"


def array_id(engine: Engine, job: Job) -> str:
    return f"{sequence(job)}[].{engine.config.server_name}"


@dataclass(frozen=True)
class Named:
    """An id as a user wrote it: of a job, of a whole array (`parts` is "[]"), of some of its elements."""

    number: int
    parts: str
    server: str

    def __str__(self) -> str:
        return f"{self.number}{self.parts}.{self.server}"

    def jobs(self, engine: Engine) -> list[Job]:
        """Jobs that it names; a bare number names no array, as in the real one."""
        if not self.parts:
            job = engine.jobs.get(self.number)
            return [job] if job and job.array is None else []
        tasks = [job for job in engine.jobs.values() if job.array and job.array.job_id == self.number]
        if self.parts == "[]":
            return tasks
        wanted: set[int] = set()
        for part in self.parts.strip("[]").split(","):
            low, _, high = part.partition("-")
            wanted |= set(range(int(low), int(high or low) + 1))
        return [job for job in tasks if job.array and job.array.index in wanted]


def named(engine: Engine, word: str) -> Named | None:
    """Read `12`, `12.pbs01`, `12[]`, `12[3].pbs01`, `12[1-3]`; None if it is no id."""
    match = re.fullmatch(r"(\d+)(\[(?:\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)?\])?(?:\.([\w.-]+))?", word)
    if match is None:
        return None
    return Named(int(match[1]), match[2] or "", match[3] or engine.config.server_name)


def is_finished(engine: Engine, job: Job) -> bool:
    """Whether the server counts it as ended: not while processes are left, nor within the lag."""
    if not job.is_over or job.completing:
        return False
    return engine.now() - job.ended >= engine.config.accounting_lag_s


def has_history(engine: Engine, job: Job) -> bool:
    """Whether an ended job can still be asked for."""
    age_s = engine.now() - job.ended - engine.config.accounting_lag_s
    return engine.config.accounting and age_s < engine.config.min_job_age_s
