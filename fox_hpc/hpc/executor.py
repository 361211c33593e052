"""Submits jobs and watches them, in any dialect; meets submitit.

submitit does two things here: it pickles the function, and its `submitit.core._submit` runs it on the
batch host and keeps the result. Submitting and watching are done by this file, because submitit's own
Slurm class refuses to start without srun on PATH, waits for as many results as there are nodes, gives
commands no time limit, renames the pickle after sbatch (a submitter that dies in between leaves a job
with nothing to run), and needs sacct to notice that a job has died; and it has none for PBS and LSF.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SchedulerError, SubmitError, WorkspaceError
from .commands import Commands
from .dialect import Answer, Dialect, JobInfo, JobPlan, Reading, Submission, file_id
from .lsf import LsfDialect
from .pbs import VERSION, PbsDialect, is_torque
from .refusals import with_lines
from .slurm import SlurmDialect
from .watch import CHUNK, Watch

__all__ = [
    "CHUNK",
    "BatchExecutor",
    "JobPlan",
    "LsfExecutor",
    "PbsExecutor",
    "SlurmExecutor",
    "Submission",
    "make_executor",
    "render",
]


class BatchExecutor:
    """Submits jobs, and says what became of them.

    Args:
        environ: where commands are looked up (PATH) and what they are started with, the variables
            of an enclosing job taken out; None means this process's.
        submit_timeout_s: how long submitting may take; sbatch and bsub try again by themselves while
            their scheduler is busy.
        query_timeout_s: how long one of the other commands may take.
        grace_s: how long a job that is gone from the queue may be unknown to the accounting, which
            lags, before it is LOST; or missing in the queue, where that is all there is. Where the
            accounting is known to be switched off it is LOST at once.
        clock: gives seconds that never go back.
    """

    def __init__(
        self,
        dialect: Dialect,
        environ: Mapping[str, str] | None = None,
        *,
        submit_timeout_s: float = 120.0,
        query_timeout_s: float = 30.0,
        grace_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spoken, self._commands = dialect, Commands(environ)
        self._submit_timeout_s, self._query_timeout_s = submit_timeout_s, query_timeout_s
        self._watch = Watch(self._run, grace_s=grace_s, clock=clock)

    def dialect(self) -> Dialect:
        """Give the dialect that is spoken here.

        Raises:
            SchedulerError: that cannot be found out now.
        """
        return self._spoken

    def check(self) -> str:
        """Say why jobs cannot be submitted here, "" if a cluster answers; a command on PATH is not one."""
        try:
            return self._run(self.dialect().ping).problem
        except SchedulerError as error:
            return str(error)

    def submit(self, plan: JobPlan, func: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        """Submit a job that calls `func(*args, **kwargs)` once, on its first node.

        Returns:
            the job's id as `poll` and `cancel` take it, today and after a restart; `file_id` of it is
            digits only.

        Raises:
            SubmitError: the scheduler did not take it; the text holds its words. A `transient` one may
                still have taken the job (slurmctld works off what has waited in its socket, long
                after sbatch has given up): ask `find` before trying again.
            WorkspaceError: the plan's folder cannot be written.
        """
        return self.hand_in(plan, lambda path: _pickle(path, func, args, kwargs))

    def hand_in(self, plan: JobPlan, dump: Callable[[Path], None]) -> str:
        """Submit a job as `submit` does; `dump` writes what submitit is to run into a file."""
        try:
            dialect = self.dialect()
        except SchedulerError as error:
            # Nothing was sent yet; a server that is away may be back soon.
            passing = type(error) is SchedulerError and isinstance(error.__cause__, TimeoutError | None)
            raise SubmitError(
                str(error), command=error.command, exit_code=error.exit_code, transient=passing
            ) from error
        submission = dialect.render(plan)
        try:
            plan.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            plan.script_file.write_text(submission.script, encoding="utf-8")
            dump(plan.pickle_file)
            plan.pickle_file.chmod(0o600)
        except OSError as error:
            raise WorkspaceError(f"cannot write a job into {plan.folder}: {error.strerror}") from error
        stdin = plan.script_file if submission.stdin else None
        try:
            answer = self._commands.run(submission.command, self._submit_timeout_s, stdin)
        except SchedulerError as error:
            raise SubmitError(
                str(error), command=error.command, transient=isinstance(error.__cause__, TimeoutError)
            ) from error
        try:
            return dialect.read_job_id(answer)
        except SubmitError as error:
            raise _with_lines(error, dialect, submission) from error

    def find(self, name: str) -> list[str]:
        """List the ids of the jobs of that name; for a submission whose answer was lost.

        Raises:
            SchedulerError: the queue did not answer, so that nobody knows.
        """
        reading = Reading({}, {})
        for query in self.dialect().find(name):
            reading = query.read(self._run(query.command))
            if not reading.again:
                break
        if reading.problem:
            raise SchedulerError(reading.problem, command=query.command)
        return sorted([*reading.jobs, *reading.unknown], key=lambda job_id: int(file_id(job_id)))

    @property
    def trouble(self) -> str:
        """Why the last look at the queue told nothing, or that it took long; "" if neither."""
        return self._watch.trouble

    @property
    def answered_at(self) -> float | None:
        """When, by `clock`, the queue last gave a whole answer; None before the first."""
        return self._watch.answered_at

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Look at jobs, with one or two commands for each 200.

        A job without an entry is one of which nothing is known just now: a command failed, or the
        accounting has not caught up. A job that is known to have vanished is LOST, raw "gone".
        """
        return self._watch.poll(self.dialect, job_ids)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs; those that have ended already do no harm.

        Raises:
            SchedulerError: the scheduler refused, or did not answer. Some jobs may be cancelled.
        """
        for start in range(0, len(job_ids), CHUNK):
            cancellation = self.dialect().cancellation(job_ids[start : start + CHUNK])
            answer = self._run(cancellation.command)
            if problem := cancellation.read(answer):
                raise SchedulerError(
                    problem, command=answer.command, exit_code=answer.exit_code, output=answer.stderr
                )

    def _run(self, command: Sequence[str]) -> Answer:
        return self._commands.run(command, self._query_timeout_s)


class SlurmExecutor(BatchExecutor):
    """Speaks with Slurm; the arguments are those of BatchExecutor."""

    def __init__(self, environ: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(SlurmDialect(), environ, **options)


class PbsExecutor(BatchExecutor):
    """Speaks with PBS; the other arguments are those of BatchExecutor.

    Args:
        torque: True for Torque; None asks `qstat --version` once.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, torque: bool | None = None, **options: Any
    ) -> None:
        super().__init__(PbsDialect(bool(torque)), environ, **options)
        self._known = torque is not None

    def dialect(self) -> Dialect:
        """Give PBS's dialect, or Torque's."""
        if not self._known:
            self._spoken, self._known = PbsDialect(is_torque(self._run(VERSION))), True
        return self._spoken


class LsfExecutor(BatchExecutor):
    """Speaks with LSF; the arguments are those of BatchExecutor."""

    def __init__(self, environ: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(LsfDialect(), environ, **options)


_EXECUTORS: dict[str, Callable[..., BatchExecutor]] = {
    "slurm": SlurmExecutor,
    "pbs": PbsExecutor,
    "lsf": LsfExecutor,
}


def make_executor(scheduler: str, environ: Mapping[str, str] | None = None, **options: Any) -> BatchExecutor:
    """Give the executor of a scheduler, `slurm`, `pbs` or `lsf`; a fake one (`fake-pbs`) is no other."""
    return _EXECUTORS[scheduler.removeprefix("fake-")](environ, **options)


def render(plan: JobPlan, scheduler: str | None = None) -> Submission:
    """Give a plan in a scheduler's words; needs no scheduler, and not even submitit.

    Args:
        scheduler: as in HpcConfig; None takes the config's, and Slurm for "auto". PBS is OpenPBS;
            `PbsDialect(torque=True).render(plan)` gives Torque's.

    Raises:
        RecipeError: something in the plan cannot be said to it.
    """
    dialects: dict[str, Dialect] = {"slurm": SlurmDialect(), "pbs": PbsDialect(), "lsf": LsfDialect()}
    name = scheduler or plan.config.scheduler
    return dialects["slurm" if name == "auto" else name.removeprefix("fake-")].render(plan)


def _with_lines(error: SubmitError, dialect: Dialect, submission: Submission) -> SubmitError:
    """Say beside a scheduler's refusal which line of our script it is about."""
    lines = dialect.at_fault(error.output, submission.script)
    problem = with_lines(str(error), lines, str(submission.plan.script_file))
    return SubmitError(
        problem,
        command=error.command,
        exit_code=error.exit_code,
        output=error.output,
        transient=error.transient,
    )


def _pickle(path: Path, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with _own_logging():
        from submitit.core.utils import DelayedSubmission
    DelayedSubmission(func, *args, **kwargs).dump(path)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    # When it is imported submitit configures logging anew, which closes the handlers of others, unless
    # this variable says NOCONFIG; it asks the process's environment only.
    name = "SUBMITIT_LOG_LEVEL"
    if "submitit" in sys.modules or name in os.environ:
        yield
        return
    os.environ[name] = "NOCONFIG"
    try:
        yield
    finally:
        del os.environ[name]
