"""Launchers: how a site's job is started, looked at and ended.

A launcher hands the driver to a scheduler, or starts it as a process here. It decides nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..environment import WorkerEnv
from ..errors import SubmitError
from ..hpc.dialect import JobInfo, JobPlan
from ..hpc.executor import make_executor
from ..hpc.resources import HpcConfig
from ..spec import RunSpec
from .driver import drive
from .processes import adopt_orphans, end_orphans, end_tree


class Launcher(Protocol):
    """What a relay needs of a scheduler. Methods may take long and are called from one thread."""

    def submit(self, site: str, worker: WorkerEnv) -> str:
        """Start a site's job and return its id; raises SubmitError with the scheduler's words.

        A `transient` one may have taken the job: `find` tells, sooner or later.
        """

    def find(self, name: str) -> list[str]:
        """Give the ids of jobs of that name, after a submission whose answer was lost; SchedulerError."""

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Tell what is known of jobs; one that is absent from the answer: no information."""

    @property
    def trouble(self) -> str:
        """Why the last `poll` told nothing, or that it took long; "" if neither."""

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs; unknown and ended ones are fine."""


def attempt_folder(run_dir: str | os.PathLike[str], site: str, attempt: int) -> Path:
    """Where one attempt of a site's job keeps its script, its logs and its traces."""
    return Path(run_dir) / "sites" / site / f"attempt-{attempt}"


def job_name(spec: RunSpec, site: str, attempt: int) -> str:
    """Name one attempt's job, so that no other job of this user has that name."""
    return f"{spec.run}-{site}-{attempt}"


def plan_job(spec: RunSpec, site: str, worker: WorkerEnv) -> JobPlan:
    """Say what is to be submitted for a site."""
    config = HpcConfig.from_mapping(spec.site(site).hpc, where=f"hpc_config of {site}")
    return JobPlan(
        name=job_name(spec, site, worker.attempt),
        folder=attempt_folder(spec.folder, site, worker.attempt),
        config=config,
        exports=worker.exports(),
        python=config.python or spec.python,
    )


class BatchLauncher:
    """Runs each site's driver as a job of the scheduler that the run's spec names, through submitit."""

    def __init__(self, spec: RunSpec, environ: Mapping[str, str]) -> None:
        self._spec = spec
        self._executor = make_executor(spec.scheduler, environ)

    def submit(self, site: str, worker: WorkerEnv) -> str:
        """See Launcher."""
        plan = plan_job(self._spec, site, worker)
        return self._executor.submit(plan, drive, self._spec.folder, site, worker.attempt)

    def find(self, name: str) -> list[str]:
        """See Launcher."""
        return self._executor.find(name)

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """See Launcher."""
        return self._executor.poll(list(job_ids))

    @property
    def trouble(self) -> str:
        """See Launcher."""
        return self._executor.trouble

    def cancel(self, job_ids: Sequence[str]) -> None:
        """See Launcher."""
        self._executor.cancel(list(job_ids))


class SlurmLauncher(BatchLauncher):
    """The launcher of a run on Slurm."""


class PbsLauncher(BatchLauncher):
    """The launcher of a run on PBS."""


class LsfLauncher(BatchLauncher):
    """The launcher of a run on LSF."""


class SubprocessLauncher:
    """Runs each site's driver as a process on this machine; its job id is the process id."""

    trouble = ""

    def __init__(self, spec: RunSpec, environ: Mapping[str, str]) -> None:
        self._spec, self._environ = spec, dict(environ)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, site: str, worker: WorkerEnv) -> str:
        """See Launcher."""
        folder = attempt_folder(self._spec.folder, site, worker.attempt)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "fox_hpc.site.driver", self._spec.folder, site, str(worker.attempt)]
        adopt_orphans()
        try:
            with (
                (folder / "local_0_log.out").open("ab") as out,
                (folder / "local_0_log.err").open("ab") as err,
            ):
                # The driver reads its stdin to its end, which comes when this process dies.
                child = subprocess.Popen(
                    [*command, "--with-owner"],
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=err,
                    env={**self._environ, **worker.exports()},
                    start_new_session=True,
                )
        except OSError as error:
            raise SubmitError(f"cannot start {command[0]}: {error.strerror}", command=command) from error
        self._children[str(child.pid)] = child
        return str(child.pid)

    def find(self, name: str) -> list[str]:
        """A process that was started is known, and dies with whoever started it."""
        return []

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """See Launcher."""
        return {id: self._look(id) for id in job_ids}

    def _look(self, id: str) -> JobInfo:
        child = self._children.get(id)
        if child is None:
            # A process that another relay has started ended with it.
            return JobInfo(job_id=id, state="LOST", reason="its relay is gone", raw="gone")
        code = child.poll()
        nodes = os.uname().nodename
        if code is None:
            return JobInfo(job_id=id, state="RUNNING", nodes=nodes)
        # A driver that was killed cannot have ended what it started.
        end_orphans({one.pid for one in self._children.values()})
        exit_code = code if code >= 0 else 128 - code
        return JobInfo(job_id=id, state="DONE" if code == 0 else "FAILED", nodes=nodes, exit_code=exit_code)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """See Launcher."""
        for id in job_ids:
            child = self._children.get(id)
            if child is not None and child.poll() is None:
                end_tree(child.pid)
                child.wait()


def make_launcher(spec: RunSpec, environ: Mapping[str, str]) -> Launcher:
    """Choose the launcher that a run's spec names."""
    return _LAUNCHERS[spec.scheduler.removeprefix("fake-")](spec, environ)


_LAUNCHERS: dict[str, Callable[[RunSpec, Mapping[str, str]], Launcher]] = {
    "local": SubprocessLauncher,
    "slurm": SlurmLauncher,
    "pbs": PbsLauncher,
    "lsf": LsfLauncher,
}
