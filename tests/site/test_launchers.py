"""The launchers that a run_cmd may name, on this machine: mpirun, torchrun, and any other program."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest
from launched import model, recipe
from waiting import lives, wait_for, words_of

from fox_hpc import FLModel, PocEnv, RecipeError

pytestmark = pytest.mark.timeout(300)
HOST = socket.gethostname()
MPIRUN = "mpirun -np 2"


@pytest.fixture
def env(tmp_path: Path) -> PocEnv:
    return PocEnv(1, tmp_path)


def needs_mpi() -> None:
    pytest.importorskip("mpi4py")
    if not Path(sys.executable).with_name("mpirun").exists():
        pytest.skip("there is no mpirun beside this interpreter")


def test_a_program_that_is_not_here_is_refused_before_anything_starts(env: PocEnv):
    with pytest.raises(RecipeError, match="there is no program mpirunn, neither in PATH nor beside"):
        recipe("script_over_mpi", "mpirunn -np 2", model()).execute(env)


def test_mpirun_starts_ranks_that_work_without_torch_and_a_rank_that_raises_fails_the_call(env: PocEnv):
    needs_mpi()
    run = recipe("script_over_mpi", MPIRUN, model(), model("raise")).execute(env)
    (answer, _), (raised, took_s) = run.result(200)

    assert answer.params["w"].tolist() == [4.0, 4.0]
    assert answer.meta == {
        "backend": "mpi",
        "torch": False,
        "site_name": "site-1",
        "rank": 0,
        "world_size": 2,
        "local_rank": 0,
        "host": HOST,
        "run": run.workspace.name,
        "attempt": 1,
        "job_id": run.record().sites["site-1"].job_id,
    }
    assert raised[:4] == ("ValueError", "bad day on rank 1", 1, HOST)
    assert "script_over_mpi.py" in raised[4]
    assert took_s < 10 or os.getloadavg()[0] > 4


def test_a_rank_of_mpirun_that_is_killed_is_named_with_its_host(env: PocEnv):
    needs_mpi()
    _, ((kind, words), took_s) = (
        recipe("script_over_mpi", MPIRUN, model(), model("die")).execute(env).result(200)
    )

    assert kind == "SiteLost"
    assert f"rank 1 on {HOST} was killed or crashed" in words
    assert took_s < 10 or os.getloadavg()[0] > 4


def test_ranks_that_wait_in_a_collective_which_another_has_skipped_end_the_call(env: PocEnv):
    needs_mpi()
    _, (hung, took_s) = recipe("script_over_mpi", MPIRUN, model(), model("skip")).execute(env).result(200)

    assert hung[0] == "TimeoutError"
    assert hung[1].startswith("rank 0 waits in receive() since 7 s")
    assert hung[1].endswith("rank 1 left the call without it")
    assert hung[2:4] == (0, HOST)
    assert "shares = group.gather(" in hung[4]
    assert took_s < 10 or os.getloadavg()[0] > 4


def test_a_restart_of_torchruns_ranks_keeps_the_open_call(env: PocEnv):
    pytest.importorskip("torch")
    models = [FLModel(params={"n": number}) for number in range(4)]
    torchrun = "torchrun --nproc_per_node=2 --max-restarts=2"
    run = recipe("script_restarted", torchrun, *models).execute(env)
    (first, _), (again, _), (raised, _), (last, _) = run.result(280)

    assert [one.params["n"] for one in (first, again, last)] == [0, 1, 3]
    assert len({one.meta["pid"] for one in (first, again, last)}) == 3
    assert {one.meta["attempt"] for one in (first, again, last)} == {1}
    assert raised[:3] == ("ValueError", "bad day on rank 1", 1)
    assert set(run.scalars()) == {("site-1", "again", n, float(n > 0)) for n in (0, 1, 3)}


#: Any program may be a launcher, if it runs the command behind its own words.
OF_ONES_OWN = "env MARK=1 sh -c '\"$@\"; exit $?' of-ones-own"


@pytest.mark.parametrize("victim", ["fox_hpc.site.adapter", "of-ones-own"])
def test_whatever_is_killed_between_the_driver_and_a_rank_the_rank_ends_too(env: PocEnv, victim: str):
    run = recipe("script_over_mpi", OF_ONES_OWN, model("hang")).execute(env)
    started = run.workspace / "sites" / "site-1" / "attempt-1" / "started"
    wait_for(started.exists)
    rank = psutil.Process(int(started.read_text()))
    assert rank.environ()["MARK"] == "1"
    killed = next(one for one in rank.parents() if victim in words_of(one))
    killed.kill()
    killed_at = time.monotonic()

    wait_for(lambda: not lives(rank.pid))
    assert time.monotonic() - killed_at < 10  # a lease is 60 s
    ((kind, words), _) = run.result(100)[0]
    assert (kind, "exit code 137" in words) == ("SiteLost", True)
