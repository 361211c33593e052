"""Starting and ending a job's processes as PBS does: a login shell, signals to the first node only."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from fox_hpc.fake import processes
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import TIMEOUT, Job
from fox_hpc.fake.pbs.details import details
from fox_hpc.fake.pbs.environ import clear_away, hosts, lay_out, login_line, script_file, shell_environment
from fox_hpc.fake.pbs.output import deliver, open_append, spool_path
from fox_hpc.fake.pbs.resources import seconds
from fox_hpc.fake.runner import Runner, _Live

EXEC_FAILED = 254


class Mom(Runner):
    """Acts for the server on all nodes."""

    _engine: Engine

    def _spawn(self, job: Job, live: _Live) -> subprocess.Popen[bytes]:
        own = details(job)
        lay_out(self._engine, job)
        paths = [spool_path(self._engine, job, which) for which in "oe"]
        stdout, stderr = (open_append(path, own.umask, fresh=not job.restarts) for path in paths)
        live.stderr = stderr
        try:
            process = self._exec(job, stdout, stderr)
        finally:
            os.close(stdout)
        own.session_id = process.pid
        return process

    def _exec(self, job: Job, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """The login shell that reads where the script is, or the command that was given behind `--`."""
        own = details(job)
        executable: str | None = None
        if own.command:
            argv, stdin = own.command, os.open(os.devnull, os.O_RDONLY)
        else:
            argv, executable = [f"-{Path(own.shell).name}"], own.shell
            stdin, writer = os.pipe()
            os.write(writer, login_line(self._engine, script_file(self._engine, job)).encode())
            os.close(writer)
        try:
            return subprocess.Popen(
                argv, executable=executable, stdin=stdin, stdout=stdout, stderr=stderr, cwd=job.workdir,
                env=shell_environment(self._engine, job), umask=own.umask, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(stdin)

    def _could_not_start(self, job: Job, error: OSError) -> None:
        what = (details(job).command or [details(job).shell])[0]
        self._write(job, f"pbs_mom, exec of {what} failed with error: {error.strerror}\n")
        self._own_ended(job, EXEC_FAILED, 0)

    def _own_ended(self, job: Job, code: int, number: int) -> None:
        # The node is gone, and with it the one who could tell: the server goes on as if nothing was.
        if not details(job).lost:
            super()._own_ended(job, code, number)

    def stop(self, job: Job, words: str) -> None:
        """TERM to the job's session on its first node; KILL to everything after the wait."""
        live, own, now = self._live[job.id], details(job), self._engine.now()
        live.kill_at = now + (0 if own.forced else self._engine.config.kill_wait_s)
        live.own_ended |= own.lost
        if job.state == TIMEOUT:
            limit = int(seconds(own.resources.shown["walltime"]))
            ran = (now - job.started - own.stopped_s) / self._engine.config.time_scale
            limits = f"walltime {max(int(ran), limit + 1)} exceeded limit {limit}"
            self._write(job, f"=>> PBS: job killed: {limits}\n")
        if not own.forced:
            self.signal(job, signal.SIGTERM, "session")
        if job.suspended:
            job.suspended = False
            self.signal(job, signal.SIGCONT, "full")
        self._follow(job)

    def signal(self, job: Job, number: int, target: str) -> None:
        """Signal `session` (what runs in the session that the job's own process leads) or `full` (all)."""
        live = self._live.get(job.id)
        if live is None or not live.pid:
            return
        for process, _ in self._processes(job):
            if process.pid not in self.spared and (target == "full" or _session(process) == live.pid):
                processes.send(process, number)

    def _processes(self, job: Job) -> list[tuple[Any, str]]:
        """Those of the sessions that PBS started; one that opened its own has left the job."""
        found = super()._processes(job)
        if self._engine.config.cgroups:
            return found
        sessions = self._live[job.id].sessions
        return [(process, step) for process, step in found if _session(process) in sessions]

    def _look(self, job: Job, live: _Live) -> None:
        """After its own end a job's processes are killed at once; when it is ended, after the wait."""
        found = self._processes(job)
        if not found and live.own_ended:
            self._release(job, live)
            return
        in_session = any(_session(process) == live.pid for process, _ in found)
        waited = bool(live.kill_at) and self._engine.now() >= live.kill_at
        if waited or (live.own_ended and not (live.kill_at and in_session)):
            for process, _ in found:
                processes.send(process, signal.SIGKILL)

    def _release(self, job: Job, live: _Live) -> None:
        if not job.requeue_after_end:
            deliver(self._engine, job)
        clear_away(self._engine, job, hosts(job))
        super()._release(job, live)


def _session(process: Any) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0
