"""What a scheduler's dialect promises, and the values that go in and come out.

A dialect is pure: it gives command lines and reads answers. It starts no process, opens no file and
has no clock, so all of it can be held against recorded output.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from .resources import HpcConfig

JobState = Literal["PENDING", "RUNNING", "DONE", "FAILED", "TIMEOUT", "PREEMPTED", "CANCELLED", "LOST"]

#: States from which a job does not come back. LOST: its node died, or the scheduler knows it no more.
ENDED: frozenset[JobState] = frozenset({"DONE", "FAILED", "TIMEOUT", "PREEMPTED", "CANCELLED", "LOST"})

#: `raw` of a job that the scheduler knows no more.
GONE = "gone"


def is_forward(old: str, new: str) -> bool:
    """Tell whether a job that was `old` may become `new`: PENDING, then RUNNING, then one end for good.

    >>> is_forward("PENDING", "DONE"), is_forward("RUNNING", "PENDING"), is_forward("FAILED", "LOST")
    (True, False, False)
    """
    return _rank(new) > _rank(old)


def _rank(state: str) -> int:
    return 2 if state in ENDED else int(state == "RUNNING")


@dataclass(frozen=True)
class JobInfo:
    """What a scheduler says of one job.

    Args:
        reason: the scheduler's word for why (`Resources`, `NonZeroExitCode`), "" if it gives none.
        nodes: its node list, as it writes it (`node[1-2]`).
        exit_code: of a job that is DONE or FAILED; 128 + n after signal n; None if nobody knows it.
        raw: the state in the scheduler's own words, or "gone".
    """

    job_id: str
    state: JobState
    reason: str = ""
    nodes: str = ""
    exit_code: int | None = None
    raw: str = ""


@dataclass(frozen=True)
class JobPlan:
    """One job that is to be submitted.

    Args:
        folder: where its script, pickle and log files go; on a disk that the compute nodes see.
        exports: variables that the job's processes are given; nothing secret, a script can be read.
        python: path of the interpreter, for a config that names none.
    """

    name: str
    folder: Path
    config: HpcConfig
    exports: Mapping[str, str]
    python: str

    @property
    def script_file(self) -> Path:
        """Where the script lies that is submitted."""
        return self.folder / "submission.sh"

    @property
    def pickle_file(self) -> Path:
        """Where the pickled function lies; the script links it to the name by which submitit asks."""
        return self.folder / "submitted.pkl"

    def log_files(self, job_id: str) -> tuple[Path, Path]:
        """Name the files that take the job's stdout and stderr."""
        return self.folder / f"{job_id}_0_log.out", self.folder / f"{job_id}_0_log.err"


@dataclass(frozen=True)
class Submission:
    """A plan in a scheduler's words; its `str` is all that would be done."""

    plan: JobPlan
    command: tuple[str, ...]
    script: str

    def __str__(self) -> str:
        return f"{shlex.join(self.command)}\n\n{self.script}"


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it wrote."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def problem(self) -> str:
        """Why the command failed, in its own words; "" if it did not."""
        words = self.stderr.strip() or self.stdout.strip()
        return f"{self.command[0]} exited with {self.exit_code}: {words}" if self.exit_code else ""


@dataclass(frozen=True)
class Reading:
    """What an answer says about jobs.

    Args:
        jobs: what is known, by job id.
        unknown: jobs in a state that the dialect does not know, with the scheduler's word for it.
        problem: why the answer is not a whole list of jobs, "" if it is one. With a problem, a job
            that is missing in it may still be there.
        off: True if this source is switched off at this site and will never know.
    """

    jobs: Mapping[str, JobInfo]
    unknown: Mapping[str, str]
    problem: str = ""
    off: bool = False


@dataclass(frozen=True)
class Query:
    """A command that asks for jobs, and the reader of its answer, which never raises."""

    command: tuple[str, ...]
    read: Callable[[Answer], Reading]


class Dialect(Protocol):
    """One scheduler's words. Promises nothing about when, where or whether a command is run."""

    def render(self, plan: JobPlan) -> Submission:
        """Give the script and the command that submits it; the same on every machine.

        Raises:
            RecipeError: the plan cannot be said in this dialect.
        """

    def read_job_id(self, answer: Answer) -> str:
        """Read the new job's id, which is digits only.

        Raises:
            SubmitError: the scheduler did not take the job; carries its words.
        """

    def queue_query(self, job_ids: Sequence[str]) -> Query:
        """Ask the queue, whose word is fresh but which forgets jobs some time after their end."""

    def record_query(self, job_ids: Sequence[str]) -> Query:
        """Ask the accounting, which forgets nothing but may lag, fail or be switched off."""

    def cancel_command(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """Give the command that ends jobs; ids that have ended or were never known do no harm."""
