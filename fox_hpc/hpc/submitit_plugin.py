"""PBS and LSF for submitit, usable without anything else of fox-hpc.

    from fox_hpc.hpc.submitit_plugin import PbsExecutor  # or LsfExecutor

    executor = PbsExecutor("jobs")
    executor.update_parameters(queue="gpu", timeout_min=60, gpus_per_node=1)
    job = executor.submit(train, 0.1)
    job.result()

Parameters are the keys of HpcConfig, `name`, and submitit's common ones (timeout_min, mem_gb, nodes,
cpus_per_task, gpus_per_node). The function runs once, on the job's first node, whatever the number of nodes.

What `submitit.AutoExecutor` can do: `cluster="pbs"` works where fox-hpc is installed, with parameters named
`pbs_queue`, `pbs_prologue` and so on. What it cannot: `cluster="lsf"`, since an installed package can give
submitit one executor only; and to choose PBS by itself, without `cluster=`, which it leaves to "local", as
qsub is also found on clusters that are none of PBS. Take LsfExecutor and PbsExecutor directly there.

`map_array` and `batch` submit a job for each call, not an array. A folder may not hold submitit's `%j`.
submitit's checkpoints: LSF warns before the time limit, and the job is requeued (`brequeue`); PBS neither
warns nor lets a job's owner requeue it, so `job.result()` says so and the caller submits again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

from submitit.core.core import Executor, InfoWatcher, Job
from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import DelayedSubmission, FailedSubmissionError, UncompletedJobError

from ..errors import RecipeError, SchedulerError, SubmitError
from .commands import Commands
from .dialect import ENDED, JobPlan, file_id
from .executor import BatchExecutor, make_executor, render
from .nodes import job_nodes
from .resources import ALIASES, HpcConfig

_JOB_ID = {"pbs": "PBS_JOBID", "lsf": "LSB_JOBID"}
_NOT_HERE = ("scheduler", "max_attempts")
_REQUEUE_TIMEOUT_S = 60.0
# A job whose limit is the site's own: no signal is taken for that of its end.
_NO_LIMIT_MIN = 365 * 24 * 60


class FoxJobEnvironment(JobEnvironment):  # type: ignore[misc]
    """What a job of PBS or LSF finds out about itself; one for both, as submitit takes one of a package."""

    # One process a job: nothing sets this, so that submitit takes its defaults.
    _env: ClassVar[dict[str, str]] = dict.fromkeys(
        ("num_tasks", "node", "global_rank", "local_rank"), "FOX_SUBMITIT_TASK"
    )

    def activated(self) -> bool:
        """Tell whether this process runs in a job of PBS or LSF."""
        return self._scheduler in _JOB_ID

    @property
    def raw_job_id(self) -> str:
        """The job's id, digits only."""
        return file_id(os.environ[_JOB_ID[self._scheduler]])

    @property
    def hostnames(self) -> Sequence[str]:
        """The job's nodes."""
        return job_nodes(os.environ, lambda path: Path(path).read_text()) or [self.hostname]

    @property
    def num_nodes(self) -> int:
        """How many nodes the job has."""
        return len(self.hostnames)

    @property
    def _scheduler(self) -> str:
        return os.environ.get("SUBMITIT_EXECUTOR", "")

    def _requeue(self, countdown: int) -> None:
        if self._scheduler != "lsf":
            raise UncompletedJobError("PBS lets a manager requeue a job, not its owner: submit it again")
        Commands().run(("brequeue", self.raw_job_id), _REQUEUE_TIMEOUT_S)


class BatchWatcher(InfoWatcher):  # type: ignore[misc]
    """Asks for all jobs of one scheduler at once, by our dialects: a query has a time limit, and may fail."""

    def __init__(self, scheduler: str, delay_s: int = 60) -> None:
        super().__init__(delay_s)
        self._scheduler = scheduler
        self._executor: BatchExecutor | None = None

    @property
    def executor(self) -> BatchExecutor:
        """What speaks with the scheduler, in the environment of its first use."""
        if self._executor is None:
            self._executor = make_executor(self._scheduler)
        return self._executor

    def clear(self) -> None:
        """Forget what is known of jobs, and the environment."""
        super().clear()
        self._executor = None

    def update(self) -> None:
        """Look at the jobs that have not ended."""
        job_ids = sorted(self._registered - self._finished, key=int)
        if not job_ids:
            return
        self._num_calls += 1
        for job_id, info in self.executor.poll(job_ids).items():
            code = "" if info.exit_code is None else str(info.exit_code)
            self._info_dict[job_id] = {
                "JobID": job_id,
                "State": info.state,
                "Reason": info.reason,
                "NodeList": info.nodes,
                "ExitCode": code,
            }
        self._last_status_check = time.time()
        self._finished |= {job_id for job_id in job_ids if self.is_done(job_id, mode="cache")}

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """Give a job's state: PENDING RUNNING DONE FAILED TIMEOUT PREEMPTED CANCELLED LOST, or UNKNOWN."""
        return str(self.get_info(job_id, mode=mode).get("State", "UNKNOWN"))

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Tell whether a job has ended; submitit's own list of states takes a suspended one for ended."""
        return self.get_state(job_id, mode=mode) in ENDED


class PbsJob(Job[Any]):  # type: ignore[misc]
    """A job of PBS."""

    watcher = BatchWatcher("pbs")

    def cancel(self, check: bool = True) -> None:
        """End the job; one that has ended does no harm."""
        _cancel(self, check)


class LsfJob(Job[Any]):  # type: ignore[misc]
    """A job of LSF."""

    watcher = BatchWatcher("lsf")

    def cancel(self, check: bool = True) -> None:
        """End the job; one that has ended does no harm."""
        _cancel(self, check)


def _cancel(job: Any, check: bool) -> None:
    with contextlib.nullcontext() if check else contextlib.suppress(SchedulerError):
        job.watcher.executor.cancel([job.job_id])


class _HpcExecutor(Executor):  # type: ignore[misc]
    """Submits functions as jobs; arguments as of submitit's executors.

    Args:
        max_num_timeout: how often a function with a checkpoint may run into its time limit.
    """

    _program = ""

    def __init__(self, folder: str | Path, max_num_timeout: int = 3) -> None:
        super().__init__(folder)
        self.parameters: dict[str, Any] = {}
        self.max_num_timeout = max_num_timeout

    @classmethod
    def affinity(cls) -> int:
        """Say how well it fits here: never better than submitit's local one, which is asked first."""
        return 1 if shutil.which(cls._program) else -1

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        own = {field.name for field in fields(HpcConfig)} - set(_NOT_HERE)
        return own | set(ALIASES) | {"name"}

    def _convert_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        """Say submitit's common parameters in the words of HpcConfig."""
        converted = {_COMMON.get(name, name): value for name, value in params.items()}
        if (gigabytes := converted.pop("mem_gb", None)) is not None:
            converted["mem"] = f"{round(1024 * gigabytes)}M"
        if converted.pop("tasks_per_node", 1) != 1:
            raise RecipeError("tasks_per_node: a job runs its function once, on its first node")
        if converted.pop("stderr_to_stdout", False):
            raise RecipeError("stderr_to_stdout: a job has a file for each")
        return converted

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        known = dict(self.parameters)
        for name, value in self._convert_parameters(kwargs).items():
            known[ALIASES.get(name, name)] = value
        # Refused here, not when a sweep has submitted half of its jobs.
        render(self._plan(known, ""))
        self.parameters = known

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        return [self._process(delayed) for delayed in delayed_submissions]

    def _process(self, delayed: DelayedSubmission) -> Job[Any]:
        plan = self._plan(self.parameters, f"-{uuid.uuid4().hex}")
        limit_s = plan.config.time_limit_s
        delayed.set_timeout(_NO_LIMIT_MIN if limit_s is None else max(1, limit_s // 60), self.max_num_timeout)
        try:
            job_id = file_id(self._hpc.hand_in(plan, delayed.dump))
        except SubmitError as error:
            raise FailedSubmissionError(str(error)) from error
        job = self.job_class(folder=self.folder, job_id=job_id, tasks=[0])
        # For `job.submission()`; the job makes the same link when it starts, and may have done so.
        with contextlib.suppress(FileExistsError):
            job.paths.submitted_pickle.symlink_to(plan.pickle_file.name)
        return job

    def _plan(self, parameters: dict[str, Any], mark: str) -> JobPlan:
        asked = {name: value for name, value in parameters.items() if name != "name"}
        for name in _NOT_HERE:
            if name in asked:
                raise RecipeError(f"{name}: {type(self).__name__} has no such parameter")
        config = HpcConfig.from_mapping({**asked, "scheduler": self.name()}, where="update_parameters")
        if config.container:
            # Here the function itself is what the container is for.
            words = f"{config.container} {config.python or 'python'}"
            config = replace(config, python=words, container=None)
        name = parameters.get("name", "submitit")
        return JobPlan(name, self.folder, config, exports={}, python=sys.executable, mark=mark)

    @property
    def _hpc(self) -> BatchExecutor:
        executor: BatchExecutor = self.job_class.watcher.executor
        return executor


_COMMON = {"timeout_min": "time_limit", "nodes": "nodes_per_client", "cpus_per_task": "cpus_per_node"}


class PbsExecutor(_HpcExecutor):
    """Submits functions as jobs of PBS; Torque is found out by itself."""

    job_class = PbsJob
    _program = "qsub"


class LsfExecutor(_HpcExecutor):
    """Submits functions as jobs of LSF."""

    job_class = LsfJob
    _program = "bsub"
