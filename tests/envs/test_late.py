"""Answers that stay at their sites until they are read: the same mean, whatever dies meanwhile."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk import Server, kill, recipe
from waiting import wait_for

from fox_hpc import HpcEnv, PocEnv, SimEnv, SiteLost
from fox_hpc.fake import FakeCluster


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What whole answers give."""
    found: dict[str, Any] = (
        recipe(Server(late=False)).execute(SimEnv(2, tmp_path_factory.mktemp("sim"))).result(60)
    )
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    alike = [
        np.array_equal(one[name], other[name]) and type(one[name]) is type(other[name]) for name in other
    ]
    return all(alike) and list(one) == list(other)


@pytest.mark.parametrize("make", [SimEnv, PocEnv])
def test_late_answers_have_the_mean_of_whole_ones(make: Any, tmp_path: Path, mean: dict[str, Any]) -> None:
    run = recipe(Server(late=True)).execute(make(2, tmp_path))

    assert same(run.result(60), mean)


def test_a_site_whose_job_is_taken_away_before_its_answer_was_read_answers_again(
    tmp_path: Path, mean: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCluster(nodes=2, cpus=2, kill_wait_s=0.5) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        server = Server(late=True)
        run = recipe(server).execute(HpcEnv(2, "slurm", tmp_path, poll_s=0.2))

        def take_away() -> None:
            job = run.record().sites["site-1"].job_id
            subprocess.run(["scontrol", "update", f"jobid={job}", "timelimit=0:01"], check=True, timeout=30)
            wait_for(lambda: run.record().sites["site-1"].attempts == 2)

        server.meanwhile = take_away

        assert same(run.result(60), mean)
        assert run.record().sites["site-1"].attempts == 2
        assert run.record().sites["site-2"].attempts == 1


def test_a_site_that_is_lost_before_its_answer_was_read_fails_the_average(tmp_path: Path) -> None:
    server = Server(late=True)
    run = recipe(server).execute(PocEnv(2, tmp_path))

    def lose() -> None:
        [pid] = run.workspace.glob("sites/site-2/*/pid")
        kill(int(pid.read_text()))
        wait_for(lambda: run.record().sites["site-2"].state == "FAILED")

    server.meanwhile = lose

    with pytest.raises(SiteLost, match="site-2 is lost"):
        run.result(60)
