"""A job's whole life on a scheduler: the fake one, and the real one where FOX_TEST_SLURM says.

FOX_TEST_SLURM is the path of the real cluster's slurm.conf; its commands are those on PATH.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import slurm_jobs

from fox_hpc.errors import SubmitError
from fox_hpc.fake import FakeCluster
from fox_hpc.hpc.dialect import ENDED, JobInfo
from fox_hpc.hpc.executor import JobPlan, SlurmExecutor
from fox_hpc.hpc.resources import HpcConfig
from fox_hpc.hpc.slurm import expand_nodes

PATIENCE_S = 60.0


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.cluster)])
def environ(request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """Give the environment in which the scheduler's commands are found."""
    if request.param == "fake":
        with FakeCluster(nodes=2) as cluster:
            yield {**os.environ, **cluster.env}
    else:
        yield os.environ


@pytest.fixture
def executor(environ: Mapping[str, str]) -> SlurmExecutor:
    return SlurmExecutor(environ)


def plan(folder: Path, **config: Any) -> JobPlan:
    exports = {
        "FOX_GREETING": "it's a, b",
        "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}",
    }
    return JobPlan(f"test-{folder.name}", folder, HpcConfig.from_mapping(config), exports, sys.executable)


def wait(executor: SlurmExecutor, job_id: str, states: frozenset[str] = ENDED) -> JobInfo:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        info = executor.poll([job_id]).get(job_id)
        if info is not None and info.state in states:
            return info
        assert time.monotonic() < deadline, f"{info} {executor.trouble}"
        time.sleep(0.1)


def test_a_function_runs_once_on_the_first_of_two_nodes(executor: SlurmExecutor, tmp_path: Path) -> None:
    job = plan(tmp_path / "a run", nodes_per_client=2, cpus_per_node=2, time_limit=5)

    job_id = executor.submit(job, slurm_jobs.greet_from_all_nodes, "site-1", mark="?")
    info = wait(executor, job_id)

    out, err = (file.read_text() for file in job.log_files(job_id))
    assert (info.state, info.exit_code, info.raw) == ("DONE", 0, "COMPLETED"), out + err
    assert len(expand_nodes(info.nodes)) == 2
    assert out.count("driver of site-1 at rank 0") == 1
    results = [pickle.loads(file.read_bytes()) for file in job.folder.glob("*_result.pkl")]
    assert results == [("success", ["0 it's a, b site-1?", "1 it's a, b site-1?"])]


def test_a_job_that_leaves_with_an_exit_code_is_failed_with_it(
    executor: SlurmExecutor, tmp_path: Path
) -> None:
    job_id = executor.submit(plan(tmp_path / "run"), slurm_jobs.leave, 3)

    info = wait(executor, job_id)

    assert (info.state, info.exit_code, info.reason) == ("FAILED", 3, "NonZeroExitCode")


def test_a_cancelled_job_is_cancelled_and_found_by_its_name(executor: SlurmExecutor, tmp_path: Path) -> None:
    job = plan(tmp_path / f"run-{os.getpid()}-{time.time_ns()}")
    job_id = executor.submit(job, slurm_jobs.stay, 300)
    wait(executor, job_id, frozenset({"RUNNING"}))

    assert executor.find(job.name) == [job_id]
    executor.cancel([job_id, "99999999"])
    assert wait(executor, job_id).state == "CANCELLED"
    executor.cancel([job_id])


def test_a_partition_that_is_not_there_is_told(executor: SlurmExecutor, tmp_path: Path) -> None:
    with pytest.raises(SubmitError, match="Invalid partition name specified"):
        executor.submit(plan(tmp_path / "run", partition="nosuch"), slurm_jobs.stay, 1)
