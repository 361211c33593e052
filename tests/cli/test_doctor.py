"""`doctor` on a fake Slurm: real commands, a real job, real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fox_hpc.fake import FakeCluster
from fox_hpc.hpc.profile import load_profile

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]

OF_THE_JOB = ["job", "python", "way back", "shared folder", "clock", "rendezvous", "exclusive", "rename"]


@pytest.fixture
def busy() -> Iterator[FakeCluster]:
    """A cluster whose only node is taken, and which knows no accounting."""
    with FakeCluster(nodes=1, cpus=1, accounting=False, kill_wait_s=0.5) as cluster:
        call(cluster, "sbatch", "-o", "/dev/null", "--wrap", "sleep 600")
        yield cluster


def call(cluster: FakeCluster, *argv: str) -> str:
    environ = {**os.environ, **cluster.env}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def jobs(cluster: FakeCluster, state: str) -> list[str]:
    return call(cluster, "squeue", "-h", "-t", state, "-o", "%j").splitlines()


def test_a_good_cluster_passes_and_gets_its_profile(fox: Fox, tmp_path: Path) -> None:
    done = fox("doctor", "--scheduler", "fake-slurm", "--write", "site.toml", "--json")
    told = json.loads(done.stdout)

    assert done.returncode == 0, told
    assert [check["level"] for check in told["checks"]] == ["ok"] * 12
    assert [check["name"] for check in told["checks"]][-8:] == OF_THE_JOB
    assert (told["level"], told["written"]) == ("ok", "site.toml")
    assert load_profile(tmp_path / "site.toml").job == told["recommended"]["job"]
    assert list((tmp_path / "fox_runs").iterdir()) == []


@pytest.mark.parametrize(
    ("scheduler", "first"),
    [("fake-pbs", ["commands", "history", "queues"]), ("fake-lsf", ["commands", "queues"])],
)
def test_pbs_and_lsf_pass_and_get_their_profile(
    fox: Fox, tmp_path: Path, scheduler: str, first: list[str]
) -> None:
    done = fox("doctor", "--scheduler", scheduler, "--write", "site.toml", "--json")
    told = json.loads(done.stdout)

    assert done.returncode == 0, told
    assert {check["level"] for check in told["checks"]} == {"ok"}
    assert [check["name"] for check in told["checks"]] == [*first, "addresses", *OF_THE_JOB]
    assert load_profile(tmp_path / "site.toml").job == {"scheduler": scheduler}


@pytest.mark.parametrize(("scheduler", "closed"), [("fake-pbs", "stopped"), ("fake-lsf", "closed")])
def test_a_queue_that_is_closed_or_unknown_is_told_before_a_job_waits_in_it(
    fox: Fox, scheduler: str, closed: str
) -> None:
    shut = fox("doctor", "--scheduler", scheduler, "--partition", closed)
    wrong = fox("doctor", "--scheduler", scheduler, "--partition", "gold")

    assert (shut.returncode, wrong.returncode) == (3, 3)
    assert f"jobs in {closed} pend: take another of " in shut.stdout
    assert "there is no 'gold'" in wrong.stdout


def test_a_pbs_that_forgets_ended_jobs_is_told(fox: Fox) -> None:
    with FakeCluster("pbs", nodes=2, accounting=False) as cluster:
        done = fox("doctor", "--scheduler", "pbs", "--no-job", env=cluster.env)

    assert done.returncode == 0
    assert "warn  history        PBS forgets a job when it ends" in done.stdout


def test_without_a_word_the_scheduler_that_is_here_is_taken(fox: Fox) -> None:
    with FakeCluster("lsf", nodes=2) as cluster:
        alone = {**cluster.env, "PATH": f"{cluster.bin}:/nowhere"}
        done = fox("doctor", "--no-job", env=alone)

    assert done.stdout.startswith("ok    commands       IBM Spectrum LSF")


def test_each_check_is_a_line_for_people(fox: Fox) -> None:
    done = fox("doctor", "--scheduler", "fake-slurm", "--no-job")
    lines = done.stdout.splitlines()

    assert done.returncode == 0
    assert lines[0].startswith("ok    commands       slurm-wlm 22.05")
    assert '  partition = "batch"' in lines
    assert not any("job " in line for line in lines)


def test_a_host_without_a_scheduler_fails_with_advice(fox: Fox) -> None:
    done = fox("doctor", env={"PATH": "/nowhere"})

    assert done.returncode == 3
    assert done.stdout.startswith(
        "fail  commands       sbatch, squeue, scancel, scontrol, sinfo not on PATH\n"
    )
    assert "go to a login node" in done.stdout
    assert "not submitted" in done.stdout


def test_a_wrong_partition_is_answered_with_the_right_ones(fox: Fox) -> None:
    done = fox("doctor", "--scheduler", "fake-slurm", "--partition", "gold")

    assert done.returncode == 3
    assert "there is no 'gold'" in done.stdout
    assert "batch, debug, low, closed are right" in done.stdout


def test_a_job_that_does_not_start_in_time_is_cancelled(fox: Fox, busy: FakeCluster) -> None:
    done = fox("doctor", "--scheduler", "slurm", "--nodes", "1", "--timeout", "1", "--json", env=busy.env)
    told = {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    assert done.returncode == 3
    assert told["accounting"]["level"] == "warn"
    assert "it was still PENDING (Resources) after 1 s" in told["job"]["found"]
    assert len(jobs(busy, "CANCELLED")) == 1
    assert jobs(busy, "PENDING") == []


def test_ctrl_c_cancels_the_job(start: Start, busy: FakeCluster) -> None:
    process = start("doctor", "--scheduler", "slurm", "--nodes", "1", env=busy.env)
    deadline = time.monotonic() + 30
    while not jobs(busy, "PENDING"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "stopped; the job was cancelled" in err
    assert (jobs(busy, "PENDING"), len(jobs(busy, "CANCELLED"))) == ([], 1)


def test_a_python_that_is_not_on_the_nodes_is_found_out(fox: Fox, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[job]\npython = "/no/such/python"\nmem = "900G"\n')
    done = fox("doctor", "--scheduler", "fake-slurm", "--profile", "site.toml", "--json")
    told = json.loads(done.stdout)["checks"][-1]

    assert done.returncode == 3
    assert (told["name"], told["level"]) == ("job", "fail")
    assert "/no/such/python" in told["advice"]
    [folder] = (tmp_path / "fox_runs").iterdir()
    assert f"what the job wrote is in {folder}" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--write", "here.toml"], "here.toml is there already"),
        (["--profile", "nowhere.toml"], "the profile nowhere.toml cannot be read"),
        (["--nodes", "0"], "Invalid value for '--nodes'"),
    ],
)
def test_wrong_usage_is_answered_with_one_line(
    fox: Fox, tmp_path: Path, words: list[str], sentence: str
) -> None:
    (tmp_path / "here.toml").touch()
    done = fox("doctor", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert sentence in done.stderr
