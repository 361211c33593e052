"""Runs a scheduler's commands; the one file that meets submitit.

submitit does two things here: it pickles the function, and its `submitit.core._submit` runs it on the
batch host and keeps the result. Submitting and watching are done by this file, because submitit's own
Slurm class refuses to start without srun on PATH, waits for as many results as there are nodes, gives
commands no time limit, renames the pickle after sbatch (a submitter that dies in between leaves a job
with nothing to run), and needs sacct to notice that a job has died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..environment import process_environ, scrubbed
from ..errors import SchedulerError, SubmitError, WorkspaceError
from .dialect import ENDED, GONE, Answer, Dialect, JobInfo, JobPlan, Query, Reading, Submission
from .slurm import (
    PING,
    SlurmDialect,
    exit_code_command,
    name_query,
    read_cancel,
    read_exit_code,
    render,
)

__all__ = ["JobPlan", "SlurmExecutor", "Submission", "render"]

_log = logging.getLogger(__name__)

#: Job ids of one command; a longer line would meet the limits of a shell wrapper or of the kernel.
CHUNK = 200
# Settings of a user's shell that change what our commands list, print or ask.
_PRIVATE_SETTINGS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_")
# Tells the fake's programs which cluster they belong to, as SLURM_CONF tells Slurm's.
_FAKE_CLUSTER = "FOX_FAKE_SPOOL"


class SlurmExecutor:
    """Submits jobs, and says what became of them.

    Args:
        environ: where commands are looked up (PATH) and what they are started with, the variables
            of an enclosing job taken out; None means this process's.
        submit_timeout_s: how long sbatch may take; sbatch itself tries again while slurmctld is busy.
        query_timeout_s: how long one of the other commands may take.
        grace_s: how long a job that is gone from the queue may be unknown to the accounting, which
            lags, before it is LOST. Without accounting it is LOST at once.
        clock: gives seconds that never go back.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        submit_timeout_s: float = 120.0,
        query_timeout_s: float = 30.0,
        grace_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = _for_commands(process_environ() if environ is None else environ)
        self._dialect: Dialect = SlurmDialect()
        self._submit_timeout_s, self._query_timeout_s = submit_timeout_s, query_timeout_s
        self._grace_s, self._clock = grace_s, clock
        self._absent_since: dict[str, float] = {}
        #: Why the last look at the queue told nothing, "" if it did.
        self.trouble = ""

    def check(self) -> str:
        """Say why jobs cannot be submitted here, "" if a cluster answers; sbatch on PATH is not one."""
        try:
            return self._run(PING, self._query_timeout_s).problem
        except SchedulerError as error:
            return str(error)

    def submit(self, plan: JobPlan, func: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        """Submit a job that calls `func(*args, **kwargs)` once, on its first node.

        Returns:
            the job's id, digits only.

        Raises:
            SubmitError: the scheduler did not take it; the text holds its words. A `transient` one may
                still have taken the job (slurmctld works off what has waited in its socket, long
                after sbatch has given up): ask `find` before trying again.
            WorkspaceError: the plan's folder cannot be written.
        """
        submission = self._dialect.render(plan)
        try:
            plan.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            plan.script_file.write_text(submission.script, encoding="utf-8")
            _pickle(plan.pickle_file, func, args, kwargs)
        except OSError as error:
            raise WorkspaceError(f"cannot write a job into {plan.folder}: {error.strerror}") from error
        try:
            answer = self._run(submission.command, self._submit_timeout_s)
        except SchedulerError as error:
            raise SubmitError(
                str(error), command=error.command, transient=isinstance(error.__cause__, TimeoutError)
            ) from error
        return self._dialect.read_job_id(answer)

    def find(self, name: str) -> list[str]:
        """List the ids of the jobs of that name; for a submission whose answer was lost.

        Raises:
            SchedulerError: the queue did not answer, so that nobody knows.
        """
        query = name_query(name)
        reading = query.read(self._run(query.command, self._query_timeout_s))
        if reading.problem:
            raise SchedulerError(reading.problem, command=query.command)
        return sorted([*reading.jobs, *reading.unknown], key=int)

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Look at jobs, with one or two commands for each 200.

        A job without an entry is one of which nothing is known just now: a command failed, or the
        accounting has not caught up. A job that is known to have vanished is LOST, raw "gone".
        """
        self.trouble = ""
        found: dict[str, JobInfo] = {}
        for start in range(0, len(job_ids), CHUNK):
            found.update(self._look(job_ids[start : start + CHUNK]))
        return found

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs; those that have ended already do no harm.

        Raises:
            SchedulerError: the scheduler refused, or did not answer. Some jobs may be cancelled.
        """
        for start in range(0, len(job_ids), CHUNK):
            command = self._dialect.cancel_command(job_ids[start : start + CHUNK])
            answer = self._run(command, self._query_timeout_s)
            if problem := read_cancel(answer):
                raise SchedulerError(
                    problem, command=command, exit_code=answer.exit_code, output=answer.stderr
                )

    def _look(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        queue = self._ask(self._dialect.queue_query(job_ids))
        self._note(queue)
        found = {job_id: queue.jobs[job_id] for job_id in job_ids if job_id in queue.jobs}
        absent = [job_id for job_id in job_ids if job_id not in queue.jobs and job_id not in queue.unknown]
        for job_id in set(job_ids).difference(absent):
            self._absent_since.pop(job_id, None)
        if absent and not queue.problem:
            found.update(self._witnessed(absent))
        return {job_id: self._with_exit_code(info) for job_id, info in found.items()}

    def _witnessed(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Say how jobs ended that are gone from the queue, as far as it is known by now."""
        record = self._ask(self._dialect.record_query(job_ids))
        found = {}
        for job_id in job_ids:
            info = record.jobs.get(job_id)
            if info is not None and info.state in ENDED:
                found[job_id] = info
            elif record.off or self._absent_long(job_id):
                raw = record.unknown.get(job_id, GONE)
                found[job_id] = JobInfo(job_id, "LOST", reason="the scheduler knows it no more", raw=raw)
        return found

    def _absent_long(self, job_id: str) -> bool:
        now = self._clock()
        return now - self._absent_since.setdefault(job_id, now) >= self._grace_s

    def _with_exit_code(self, info: JobInfo) -> JobInfo:
        if info.state != "FAILED" or info.exit_code is not None:
            return info
        code = None
        with contextlib.suppress(SchedulerError):
            code = read_exit_code(self._run(exit_code_command(info.job_id), self._query_timeout_s))
        if code is None:
            record = self._ask(self._dialect.record_query([info.job_id])).jobs.get(info.job_id)
            code = record.exit_code if record else None
        return replace(info, exit_code=code)

    def _ask(self, query: Query) -> Reading:
        try:
            return query.read(self._run(query.command, self._query_timeout_s))
        except SchedulerError as error:
            return Reading({}, {}, str(error), off=isinstance(error.__cause__, FileNotFoundError))

    def _note(self, queue: Reading) -> None:
        for job_id, word in queue.unknown.items():
            _log.warning("job %s is in state %r, which this version does not know", job_id, word)
        if queue.problem:
            _log.warning("the queue tells nothing: %s", queue.problem)
            self.trouble = queue.problem

    def _run(self, command: Sequence[str], timeout_s: float) -> Answer:
        """Run a command to its end.

        Raises:
            SchedulerError: it is not there, or did not end in time; its cause says which.
        """
        try:
            program = shutil.which(command[0], path=self._environ.get("PATH", os.defpath))
            if program is None:
                raise FileNotFoundError(f"{command[0]} is not on PATH: is this a host that may submit jobs?")
            exit_code, stdout, stderr = _communicate([program, *command[1:]], self._environ, timeout_s)
        except TimeoutError as error:
            problem = f"`{shlex.join(command)}` did not end within {timeout_s:g} s"
            raise SchedulerError(problem, command=command) from error
        except OSError as error:
            raise SchedulerError(str(error), command=command) from error
        return Answer(tuple(command), exit_code, stdout, stderr)


def _for_commands(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name == _FAKE_CLUSTER}
    clean = {
        name: value for name, value in scrubbed(environ).items() if not name.startswith(_PRIVATE_SETTINGS)
    }
    return clean | kept


def _communicate(argv: list[str], environ: dict[str, str], timeout_s: float) -> tuple[int, str, str]:
    # A session of its own: Ctrl-C must not end an sbatch half way, and a wrapper script is ended with
    # the commands that it has started.
    with subprocess.Popen(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException as stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise TimeoutError from stopped
            raise
    return process.returncode, stdout, stderr


def _pickle(path: Path, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with _own_logging():
        from submitit.core.utils import DelayedSubmission
    DelayedSubmission(func, *args, **kwargs).dump(path)
    path.chmod(0o600)


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
