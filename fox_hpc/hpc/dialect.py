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


def file_id(job_id: str) -> str:
    """Give the digits of a job id, which name its files; commands may need all of it, as PBS's do.

    >>> file_id("4711.pbs01.site.org"), file_id("4711")
    ('4711', '4711')
    """
    return job_id.partition(".")[0]


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
        mark: tells the files of several jobs in one folder apart.
    """

    name: str
    folder: Path
    config: HpcConfig
    exports: Mapping[str, str]
    python: str
    mark: str = ""

    @property
    def script_file(self) -> Path:
        """Where the script lies that is submitted."""
        return self.folder / f"submission{self.mark}.sh"

    @property
    def pickle_file(self) -> Path:
        """Where the pickled function lies; the script links it to the name by which submitit asks."""
        return self.folder / f"submitted{self.mark}.pkl"

    def log_files(self, job_id: str) -> tuple[Path, Path]:
        """Name the files that take the job's stdout and stderr."""
        digits = file_id(job_id)
        return self.folder / f"{digits}_0_log.out", self.folder / f"{digits}_0_log.err"


@dataclass(frozen=True)
class Submission:
    """A plan in a scheduler's words; its `str` is all that would be done.

    Args:
        stdin: True if the command reads the script from its standard input.
    """

    plan: JobPlan
    command: tuple[str, ...]
    script: str
    stdin: bool = False

    def __str__(self) -> str:
        source = f" < {shlex.quote(str(self.plan.script_file))}" if self.stdin else ""
        return f"{shlex.join(self.command)}{source}\n\n{self.script}"


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
        jobs: what is known, by job id as it was asked.
        unknown: jobs whose state the dialect does not know, with the scheduler's word for it, and
            jobs of which an answer gives the id only, with "".
        problem: why the answer is not a whole list of jobs, "" if it is one. With a problem, a job
            that is missing in it may still be there.
        again: True if another form of the same question may be answered better.
        off: True if this source is switched off at this site and will never know.
    """

    jobs: Mapping[str, JobInfo]
    unknown: Mapping[str, str]
    problem: str = ""
    again: bool = False
    off: bool = False


@dataclass(frozen=True)
class Query:
    """A command that asks for jobs, and the reader of its answer, which never raises."""

    command: tuple[str, ...]
    read: Callable[[Answer], Reading]


@dataclass(frozen=True)
class Inquiry:
    """How to learn about jobs.

    Args:
        queue: forms of one question to the queue, the best first. Its word is fresh, but it forgets
            jobs some time after their end.
        record: a question to the accounting, which forgets nothing but may lag, fail or be switched
            off; None if the queue is all there is.
        closer: a question for more about one job that has failed; None if there is no more.
    """

    queue: tuple[Query, ...]
    record: Query | None = None
    closer: Callable[[str], Query] | None = None


@dataclass(frozen=True)
class Cancellation:
    """A command that ends jobs, and the reader that says what it could not do, "" if nothing.

    Jobs that have ended, or were never known, are no failure.
    """

    command: tuple[str, ...]
    read: Callable[[Answer], str]


class Dialect(Protocol):
    """One scheduler's words. Promises nothing about when, where or whether a command is run."""

    @property
    def name(self) -> str:
        """`slurm`, `pbs` or `lsf`; the job finds it in SUBMITIT_EXECUTOR."""

    @property
    def ping(self) -> tuple[str, ...]:
        """A command that succeeds where the scheduler answers, and changes nothing."""

    def render(self, plan: JobPlan) -> Submission:
        """Give the script and the command that submits it; the same on every machine.

        Raises:
            RecipeError: the plan cannot be said in this dialect.
        """

    def read_job_id(self, answer: Answer) -> str:
        """Read the new job's id, as the other commands take it; `file_id` of it is digits only.

        Raises:
            SubmitError: the scheduler did not take the job; carries its words.
        """

    def at_fault(self, words: str, script: str) -> list[str]:
        """Give the lines of a script that a refusal of it is about, or may be about; [] if nobody knows."""

    def inquiry(self, job_ids: Sequence[str]) -> Inquiry:
        """Ask for jobs by their ids."""

    def find(self, name: str) -> tuple[Query, ...]:
        """Ask for jobs by the name in their plan, ended ones included; forms as in an Inquiry's `queue`."""

    def cancellation(self, job_ids: Sequence[str]) -> Cancellation:
        """End jobs."""
