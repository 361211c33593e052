"""What a real Slurm does to the jobs of a run: it takes them away, warns them, and is rid of them after."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import recipe

from fox_hpc import FoxRecipe, HpcEnv, Run, SimEnv

pytestmark = pytest.mark.cluster


@pytest.fixture
def execute(tmp_path: Path) -> Iterator[Callable[[FoxRecipe], Run]]:
    """Run a recipe; at the end of the test, its jobs are gone from the queue."""
    runs: list[Run] = []

    def start(made: FoxRecipe) -> Run:
        runs.append(made.execute(HpcEnv(2, "slurm", tmp_path, poll_s=1)))
        return runs[-1]

    yield start
    for run in runs:
        run.cancel()
        run.wait(30)
        jobs = {site.job_id for site in run.record().sites.values()}
        wait_for(lambda jobs=jobs: not jobs & set(slurm("squeue", "-h", "-o", "%A").split()))


def slurm(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def job_of(run: Run, site: str) -> str:
    return run.record().sites[site].job_id


def test_a_recipe_gives_the_value_that_it_has_in_threads(execute: Any, tmp_path: Path) -> None:
    here = recipe("average").execute(SimEnv(2, tmp_path / "sim")).result(60)

    assert np.array_equal(execute(recipe("average")).result(60), here)


def test_sites_that_another_partition_preempts_serve_the_call_in_a_second_attempt(execute: Any) -> None:
    cpus = min(int(word) for word in slurm("sinfo", "-h", "-N", "-p", "low", "-o", "%c").split())
    run = execute(recipe("last_attempt", hpc_config={"partition": "low", "cpus_per_node": cpus}))
    wait_for(lambda: len(list(run.workspace.glob("sites/**/waiting"))) == 2)
    first = [job_of(run, site) for site in ("site-1", "site-2")]
    slurm("sbatch", "-p", "batch", "-N2", f"-c{cpus}", "-o", "/dev/null", "--wrap", "true")

    assert run.result(90) == ([2, 2], [2, 2])
    assert {site.attempts for site in run.record().sites.values()} == {2}
    states = [slurm("squeue", "-h", "-t", "all", "-o", "%T", "-j", job) for job in first]
    assert states == ["PREEMPTED", "PREEMPTED"]


def test_sites_that_are_warned_leave_in_time_and_the_next_attempt_serves(execute: Any) -> None:
    run = execute(recipe("in_time"))
    wait_for(lambda: all(site.ready for site in run.record().sites.values()))
    for site in ("site-1", "site-2"):
        slurm("scancel", "--batch", "--signal=USR2", job_of(run, site))

    assert run.result(60) == ([1, 1], [2, 2])


def test_a_job_that_is_put_back_by_hand_serves_the_call_again(execute: Any) -> None:
    run = execute(recipe("last_attempt", hpc_config={"directives": ["--requeue"]}))
    wait_for(lambda: len(list(run.workspace.glob("sites/**/waiting"))) == 2)
    jobs = [job_of(run, site) for site in ("site-1", "site-2")]
    for job in jobs:
        slurm("scontrol", "requeue", job)
    for job in jobs:
        # Slurm holds it back for two minutes. Once it is pending that may be shortened, but not to nothing:
        # a node refuses the credential of a job that it was told to end within the same second.
        wait_for(lambda job=job: slurm("squeue", "-h", "-o", "%T", "-j", job) == "PENDING")
        slurm("scontrol", "update", f"jobid={job}", "starttime=now+4")

    assert run.result(60) == ([2, 2], [2, 2])
    assert [job_of(run, site) for site in ("site-1", "site-2")] == jobs


def test_the_tests_are_on_the_cluster_that_was_named() -> None:
    assert os.environ["FOX_TEST_SLURM"] in slurm("scontrol", "show", "config")
