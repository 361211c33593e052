"""Unmodified submitit runs on the fake's programs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import submitit

from fox_hpc.fake import FakeCluster


@pytest.fixture
def executor(
    cluster: FakeCluster, shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[submitit.AutoExecutor]:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    made = submitit.AutoExecutor(tmp_path / "jobs")
    made.update_parameters(timeout_min=2, slurm_mem="500MB")
    yield made
    submitit.SlurmJob.watcher.clear()


def _rank() -> tuple[int, int, int, list[str]]:
    here = submitit.JobEnvironment()
    return here.global_rank, here.node, here.num_tasks, list(here.hostnames)


def _boom() -> None:
    raise ValueError("boom")


def test_a_job_of_two_nodes_and_two_tasks_each_gives_all_results(executor: submitit.AutoExecutor) -> None:
    executor.update_parameters(nodes=2, tasks_per_node=2)
    job = executor.submit(_rank)

    assert job.results() == [(rank, rank // 2, 4, ["node1", "node2"]) for rank in range(4)]


def test_an_array_gives_each_its_result(executor: submitit.AutoExecutor) -> None:
    executor.update_parameters(slurm_array_parallelism=2)
    jobs = executor.map_array(pow, [1, 2, 3], [2, 2, 2])

    assert [job.result() for job in jobs] == [1, 4, 9]


def test_a_failing_job_raises_with_its_traceback(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(_boom)

    with pytest.raises(submitit.core.utils.FailedJobError, match="boom"):
        job.result()


def test_a_cancelled_job_is_done_and_says_so(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(time.sleep, 300)
    _until(lambda: job.watcher.get_state(job.job_id, mode="force") == "RUNNING")
    job.cancel()
    _until(lambda: job.watcher.get_state(job.job_id, mode="force").startswith("CANCELLED"))

    assert job.done(force_check=True)


class _Counts(submitit.helpers.Checkpointable):
    """Waits to be interrupted; the run after that returns."""

    def __call__(self, folder: str, restarted: bool = False) -> str:
        if restarted:
            return "restart " + os.environ["SLURM_RESTART_COUNT"]
        Path(folder, "up").touch()
        time.sleep(300)
        return "never"

    def checkpoint(self, folder: str, restarted: bool = False) -> Any:
        return submitit.helpers.DelayedSubmission(self, folder, restarted=True)


def test_an_interrupted_job_checkpoints_and_is_put_back(
    executor: submitit.AutoExecutor, tmp_path: Path
) -> None:
    job = executor.submit(_Counts(), str(tmp_path))
    _until((tmp_path / "up").exists)
    job._interrupt()

    assert job.result() == "restart 1"


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
