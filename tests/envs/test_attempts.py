"""What a scheduler takes away is submitted again, and the open call goes to the next attempt.

How jobs end, and what becomes of the run then, is in test_troubles, for every scheduler.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from federation import recipe
from waiting import wait_for

from fox_hpc import FoxRecipe, GroupError, HpcEnv, Run, SiteLost
from fox_hpc.fake import FakeCluster
from fox_hpc.site.words import DRAIN_FILE


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    with FakeCluster(nodes=2, cpus=2, kill_wait_s=0.5, requeue_wait_s=0.2) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        yield cluster


@pytest.fixture
def execute(cluster: FakeCluster, tmp_path: Path) -> Callable[[FoxRecipe], Run]:
    return lambda made: made.execute(HpcEnv(2, "slurm", tmp_path, poll_s=0.2))


def slurm(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def both_wait(run: Run) -> bool:
    return len(list(run.workspace.glob("sites/**/waiting"))) == 2


def job_of(run: Run, site: str) -> str:
    return run.record().sites[site].job_id


def test_attempts_that_bring_nothing_end_with_the_budget(execute: Any):
    run = execute(recipe("never", hpc_config={"time_limit": "0:00:02", "signal_lead": 0}))

    with pytest.raises(GroupError) as raised:
        run.result(60)
    # The other site may be given up before it has spent its own budget.
    lost = [error for error in raised.value.failures.values() if isinstance(error, SiteLost)]
    assert {error.state for error in lost} == {"TIMEOUT"}
    assert max(site.attempts for site in run.record().sites.values()) == 3


def test_a_job_that_its_scheduler_puts_back_serves_the_call_again(execute: Any):
    run = execute(recipe("last_attempt", hpc_config={"directives": ["--requeue"]}))
    wait_for(lambda: both_wait(run))
    jobs = [job_of(run, site) for site in ("site-1", "site-2")]
    for job in jobs:
        slurm("scontrol", "requeue", job)

    assert run.result(60) == ([2, 2], [2, 2])
    assert [job_of(run, site) for site in ("site-1", "site-2")] == jobs


def test_a_site_that_stops_in_time_loses_nothing_and_goes_on_in_the_next_attempt(execute: Any):
    run = execute(recipe("in_time", hpc_config={"time_limit": "0:01:00", "signal_lead": 30}))
    wait_for(lambda: all(site.ready for site in run.record().sites.values()))
    # The deadline is half a minute away: its file tells that it is over already.
    for folder in run.workspace.glob("sites/*/attempt-1"):
        (folder / DRAIN_FILE).touch()

    assert run.result(60) == ([1, 1], [2, 2])


def test_a_warning_of_the_scheduler_tells_a_site_that_its_time_is_up(execute: Any):
    run = execute(recipe("in_time"))
    wait_for(lambda: all(site.ready for site in run.record().sites.values()))
    for site in ("site-1", "site-2"):
        slurm("scancel", "--batch", "--signal=USR2", job_of(run, site))

    assert run.result(60) == ([1, 1], [2, 2])
