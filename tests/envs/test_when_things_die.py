"""What happens when a process is killed: the run ends with a reason, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from clusters import processes_of
from federation import recipe
from waiting import wait_for, words_of

from fox_hpc import ExecEnv, GroupError, HpcEnv, PocEnv, RunError, SiteLost
from fox_hpc.envs.base import Run
from fox_hpc.envs.deployment import RELAY_RESTARTS
from fox_hpc.site.relay_record import RelayRecord

HERE = Path(__file__).parent


KINDS = ["poc", "fake-slurm", pytest.param("slurm", marks=pytest.mark.cluster)]


def make_env(kind: str, folder: str | Path) -> ExecEnv:
    return PocEnv(2, folder) if kind == "poc" else HpcEnv(2, kind, folder)


@pytest.fixture(params=KINDS)
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExecEnv]:
    """Give an environment, and stop it: a run that is left open by a test that fails would hold up pytest."""
    made = make_env(request.param, tmp_path)
    yield made
    made.stop()


def sites_wait(folder: Path) -> bool:
    return len(list(folder.glob("sites/**/waiting"))) == 2


def test_a_worker_that_is_killed_fails_the_call_with_how_its_job_ended(env: ExecEnv):
    run = recipe("lose_site").execute(env)

    with pytest.raises(GroupError) as raised:
        run.result(60)

    lost = raised.value.failures["site-1"]
    assert isinstance(lost, SiteLost)
    assert (lost.state, lost.exit_code) == ("FAILED", 137)
    assert lost.job_id == run.record().sites["site-1"].job_id != ""
    assert "about to die" in lost.stderr_tail
    assert run.status == "FAILED"


@pytest.mark.parametrize("env", ["poc"], indirect=True)
def test_without_a_scheduler_the_ranks_of_a_driver_that_is_killed_end_with_it(env: ExecEnv):
    config = {"container": "no-such-container-here exec"}  # is for a cluster
    run = recipe("hang", hpc_config=config).execute(env)
    wait_for(lambda: sites_wait(run.workspace))
    drivers = [p for p in processes_of(run.workspace) if "fox_hpc.site.driver" in words_of(p)]
    ranks = {p.pid for p in processes_of(run.workspace) if "fox_hpc.site.worker" in words_of(p)}
    assert (len(drivers), len(ranks)) == (2, 2)
    for driver in drivers:
        driver.kill()

    wait_for(lambda: ranks.isdisjoint(psutil.pids()), 10)  # a lease is 60 s
    with pytest.raises(GroupError, match="exit code 137"):
        run.result(30)


def relays_of(run: Run) -> list[psutil.Process]:
    return [process for process in processes_of(run.workspace) if "fox_hpc.site.relay" in words_of(process)]


def relay_of(run: Run) -> psutil.Process:
    return relays_of(run)[0]


def test_a_relay_that_is_killed_is_followed_by_one_that_takes_up_the_open_call(env: ExecEnv):
    run = recipe("meet_at_file").execute(env)
    wait_for(lambda: sites_wait(run.workspace))
    jobs = {site: record.job_id for site, record in run.record().sites.items()}
    relay_of(run).kill()
    (run.workspace / "go").touch()

    assert run.result(60) == ["site-1", "site-2"]
    assert "the relay was killed by signal 9" in " ".join(run.record().notices)
    after = {site: record.job_id for site, record in run.record().sites.items()}
    # A scheduler's jobs outlive the relay; processes that it started itself end with it.
    assert (after == jobs) == (run.record().env == "hpc")
    wait_for(lambda: not processes_of(run.workspace), 30)


def test_a_relay_that_is_killed_over_and_over_ends_the_run_and_its_jobs(env: ExecEnv):
    run = recipe("hang").execute(env)
    for _ in range(RELAY_RESTARTS + 1):
        wait_for(lambda: relays_of(run))
        # One that was killed may still be in sight for a moment: only its successor is the next.
        relay = relay_of(run)
        relay.kill()
        wait_for(lambda relay=relay: relay not in relays_of(run))

    with pytest.raises(RunError, match="the relay ended with exit code -9"):
        run.result(60)
    wait_for(lambda: not processes_of(run.workspace), 60)


@pytest.mark.parametrize("env", ["fake-slurm"], indirect=True)
def test_a_relay_that_is_interrupted_cancels_its_jobs_before_it_ends(env: ExecEnv):
    """A scheduler that ends the job that all this runs in tells every process of it."""
    run = recipe("hang").execute(env)
    wait_for(lambda: sites_wait(run.workspace))
    relay = relay_of(run)
    relay.send_signal(signal.SIGINT)

    with pytest.raises((RunError, GroupError)):
        run.result(60)
    assert run.record().notices == []
    assert {site.state for site in run.record().sites.values()} == {"CANCELLED"}
    assert "KeyboardInterrupt" not in (run.workspace / "relay.log").read_text()
    wait_for(lambda: not processes_of(run.workspace), 60)


def start_alone(kind: str, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a run in a process of its own, and wait until its sites are in a call."""
    code = (
        # A test run in the background of a shell ignores SIGINT, and hands that on.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from federation import recipe; from fox_hpc import PocEnv, HpcEnv;"
        "kind, folder = sys.argv[2:];"
        "env = PocEnv(2, folder) if kind == 'poc' else HpcEnv(2, kind, folder);"
        "recipe('hang').execute(env).result()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(HERE), kind, str(folder)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: any(sites_wait(run) for run in folder.iterdir()))
    return child, next(folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_leaves_no_process(kind: str, tmp_path: Path):
    child, folder = start_alone(kind, tmp_path)
    child.kill()
    child.wait()

    wait_for(lambda: not processes_of(folder), 30)


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_cancels_jobs_and_leaves_no_process(kind: str, tmp_path: Path):
    child, folder = start_alone(kind, tmp_path)
    child.send_signal(signal.SIGINT)
    child.wait(60)

    wait_for(lambda: not processes_of(folder), 30)
    assert RelayRecord(folder).open_jobs() == []


def test_a_job_that_cannot_start_tells_why(env: ExecEnv):
    run = recipe("average").execute(env)
    (run.workspace / "client.pkl").write_bytes(b"not a pickle")

    with pytest.raises(GroupError) as raised:
        run.result(60)

    # The first site that is lost makes the group hopeless; the other may be given up before it is lost too.
    lost = [error for error in raised.value.failures.values() if isinstance(error, SiteLost)]
    assert {error.exit_code for error in lost} == {3}
    assert all("the worker could not start" in error.stderr_tail for error in lost)


def test_two_runs_at_once_do_not_meet(env: ExecEnv):
    runs: list[Run] = [recipe("average").execute(env) for _ in range(2)]

    assert [list(run.result(90)) for run in runs] == [[4.5, 4.5, 4.5]] * 2
