"""What a real Slurm does to the jobs of a run: it takes them away, warns them, and is rid of them after.

FOX_TEST_SLURM names the slurm.conf of a cluster of `scripts/slurm-cluster`: nodes are drained and killed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import recipe
from waiting import wait_for

from fox_hpc import FoxRecipe, HpcEnv, Run, SimEnv
from fox_hpc.hpc.slurm import expand_nodes
from fox_hpc.site.words import DRAIN_FILE

CLUSTER = Path(__file__).parents[2] / "scripts" / "slurm-cluster"
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


def on_cluster(command: str, node: str) -> None:
    """Give the script that keeps the cluster a command."""
    state = Path(os.environ["FOX_TEST_SLURM"]).parent
    subprocess.run([CLUSTER, command, node, "--state", state], check=True, timeout=90)


def both_wait(run: Run) -> bool:
    return len(list(run.workspace.glob("sites/**/waiting"))) == 2


def all_nodes() -> list[str]:
    return sorted(set(slurm("sinfo", "-h", "-N", "-p", "batch", "-o", "%N").split()))


def drain(*nodes: str) -> None:
    slurm("scontrol", "update", f"nodename={','.join(nodes)}", "state=drain", "reason=test")


@pytest.fixture
def undrained() -> Iterator[None]:
    """Give all nodes back that a test has drained."""
    yield
    for node in all_nodes():
        if "drain" in slurm("sinfo", "-h", "-n", node, "-p", "batch", "-o", "%T"):
            slurm("scontrol", "update", f"nodename={node}", "state=resume")


def job_of(run: Run, site: str) -> str:
    return run.record().sites[site].job_id


def test_a_recipe_gives_the_value_that_it_has_in_threads(execute: Any, tmp_path: Path) -> None:
    here = recipe("average").execute(SimEnv(2, tmp_path / "sim")).result(60)

    assert np.array_equal(execute(recipe("average")).result(60), here)


def test_sites_that_another_partition_preempts_serve_the_call_in_a_second_attempt(execute: Any) -> None:
    cpus = min(int(word) for word in slurm("sinfo", "-h", "-N", "-p", "low", "-o", "%c").split())
    run = execute(recipe("last_attempt", hpc_config={"partition": "low", "cpus_per_node": cpus}))
    wait_for(lambda: both_wait(run))
    first = [job_of(run, site) for site in ("site-1", "site-2")]
    nodes = [run.record().sites[site].nodes for site in ("site-1", "site-2")]
    push = ("-p", "batch", "-N2", "-w", ",".join(nodes), f"-c{cpus}", "-o", "/dev/null")
    slurm("sbatch", *push, "--wrap", "true")

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
    wait_for(lambda: both_wait(run))
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


def test_sites_wait_while_all_nodes_are_drained_and_run_on_the_one_that_comes_back(
    execute: Any, undrained: None
) -> None:
    nodes = all_nodes()
    drain(*nodes)
    run = execute(recipe("average"))
    sites = ("site-1", "site-2")
    wait_for(lambda: all(run.record().sites[site].reason for site in sites))
    assert [run.record().sites[site].state for site in sites] == ["PENDING", "PENDING"]
    slurm("scontrol", "update", f"nodename={nodes[-1]}", "state=resume")

    assert list(run.result(60)) == [4.5, 4.5, 4.5]
    assert [run.record().sites[site].nodes for site in sites] == [nodes[-1]] * 2


def test_sites_on_nodes_that_are_drained_meanwhile_finish(execute: Any, undrained: None) -> None:
    run = execute(recipe("meet_at_file"))
    wait_for(lambda: both_wait(run) and all(site.nodes for site in run.record().sites.values()))
    drain(*{site.nodes for site in run.record().sites.values()})
    (run.workspace / "go").touch()

    assert run.result(60) == ["site-1", "site-2"]
    assert {site.attempts for site in run.record().sites.values()} == {1}


def test_a_site_whose_node_loses_its_power_serves_the_call_on_another(execute: Any) -> None:
    run = execute(recipe("meet_at_file", hpc_config={"exclusive": True}))
    wait_for(lambda: both_wait(run) and run.record().sites["site-1"].nodes)
    first = job_of(run, "site-1")
    [node] = expand_nodes(run.record().sites["site-1"].nodes)
    try:
        on_cluster("kill-node", node)
        (run.workspace / "go").touch()

        # Slurm waits 20 s for a node's answer, and may have asked just before.
        assert run.result(120) == ["site-1", "site-2"]
        assert [run.record().sites[site].attempts for site in ("site-1", "site-2")] == [2, 1]
        assert slurm("squeue", "-h", "-t", "all", "-o", "%T", "-j", first) == "NODE_FAIL"
    finally:
        on_cluster("start-node", node)


@pytest.mark.waits
@pytest.mark.timeout(300)
def test_a_time_limit_is_warned_of_by_slurm_or_else_ends_the_attempt(execute: Any) -> None:
    # A minute is the shortest limit. Slurm looks at limits every 30 s: it warns up to as long before it is
    # asked to, and ends jobs up to as long after their time.
    leaves = execute(recipe("in_time", hpc_config={"time_limit": "0:01:00", "signal_lead": 5}))
    stays = execute(recipe("last_attempt", hpc_config={"time_limit": "0:01:00", "signal_lead": 0}))
    wait_for(lambda: all(site.job_id for run in (leaves, stays) for site in run.record().sites.values()))
    firsts = [[job_of(run, site) for site in ("site-1", "site-2")] for run in (leaves, stays)]

    assert leaves.result(150) == ([1, 1], [2, 2])
    assert len(list(leaves.workspace.glob(f"sites/*/attempt-1/{DRAIN_FILE}"))) == 2
    assert stays.result(150) == ([2, 2], [2, 2])
    ended = [[slurm("squeue", "-h", "-t", "all", "-o", "%T", "-j", job) for job in jobs] for jobs in firsts]
    assert ended == [["COMPLETED"] * 2, ["TIMEOUT"] * 2]


def test_the_tests_are_on_the_cluster_that_was_named() -> None:
    assert os.environ["FOX_TEST_SLURM"] in slurm("scontrol", "show", "config")
