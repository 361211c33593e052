"""`cleanup`: jobs that nobody looks after any more, on a fake Slurm."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import words_of

from fox_hpc.cli.leftover import Attempt, open_attempts
from fox_hpc.fake import FakeCluster
from fox_hpc.record import RunRecord, SiteRecord, load_record, save_record
from fox_hpc.site.relay_record import Fact, RelayRecord
from fox_hpc.spec import RunSpec, SiteSpec, save_spec

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(nodes=2, kill_wait_s=0.5) as up:
        yield up


def call(cluster: FakeCluster, *argv: str) -> str:
    environ = {**os.environ, **cluster.env}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def sleeper(cluster: FakeCluster, name: str) -> str:
    return call(cluster, "sbatch", "--parsable", "-J", name, "-o", "/dev/null", "--wrap", "sleep 600")


def state_of(cluster: FakeCluster, job: str) -> str:
    return call(cluster, "squeue", "-h", "-t", "all", "-o", "%T", "-j", job)


def make_run(workspace: Path, run: str, *, scheduler: str = "slurm", **fields: object) -> Path:
    """Make a run folder whose server is gone."""
    folder = workspace / run
    folder.mkdir(parents=True)
    site = SiteSpec("site-1")
    save_spec(RunSpec(run, "job", str(folder), (site,), 1, "Client", "python", scheduler, ()))
    known: dict[str, object] = {"pid": os.getpid(), "pid_started": 1.0, "host": socket.gethostname()}
    known["sites"] = {"site-1": SiteRecord("slurm", "1", 1, "RUNNING")}
    save_record(RunRecord(run, "job", str(folder), "hpc", "RUNNING", **{**known, **fields}))  # type: ignore[arg-type]
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "fox_runs"


def test_a_job_that_was_left_is_shown_then_cancelled_and_written_down(
    fox: Fox, runs: Path, cluster: FakeCluster
) -> None:
    folder = make_run(runs, "aaa-1")
    job = sleeper(cluster, "aaa-1-site-1-1")
    record = RelayRecord(folder)
    record.add("submitting", "site-1", 1, job_name="aaa-1-site-1-1")
    record.add("submitted", "site-1", 1, job_id=job)

    shown = fox("cleanup", "aaa", "--dry-run", env=cluster.env)
    assert shown.returncode == 0
    assert f"site-1 attempt 1, job {job}: was " in shown.stdout
    assert "would be cancelled" in shown.stdout
    assert state_of(cluster, job) in ("PENDING", "RUNNING")

    done = fox("cleanup", "aaa", env=cluster.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is CANCELLED" in done.stdout
    assert state_of(cluster, job) == "CANCELLED"
    assert open_attempts(record.facts()) == []
    assert load_record(folder).state == "FAILED"
    assert load_record(folder).sites["site-1"].state == "CANCELLED"

    again = fox("cleanup", "--all", env=cluster.env)
    assert (again.returncode, again.stdout) == (0, "nothing is left behind in fox_runs\n")


def test_a_job_whose_submission_was_never_answered_is_found_by_its_name(
    fox: Fox, runs: Path, cluster: FakeCluster
) -> None:
    folder = make_run(runs, "aaa-1")
    job, other = sleeper(cluster, "aaa-1-site-1-1"), sleeper(cluster, "aaa-1-site-1-2")
    RelayRecord(folder).add("submitting", "site-1", 1, job_name="aaa-1-site-1-1")
    done = fox("cleanup", "aaa", "--json", env=cluster.env)
    [told] = json.loads(done.stdout)["jobs"]

    assert (told["job_id"], told["now"]) == (job, "CANCELLED")
    assert state_of(cluster, job) == "CANCELLED"
    assert state_of(cluster, other) in ("PENDING", "RUNNING")


def test_a_job_that_ended_meanwhile_gets_its_own_end(fox: Fox, runs: Path, cluster: FakeCluster) -> None:
    folder = make_run(runs, "aaa-1")
    job = call(cluster, "sbatch", "--parsable", "-W", "-o", "/dev/null", "--wrap", "true")
    RelayRecord(folder).add("submitted", "site-1", 1, job_id=job)
    done = fox("cleanup", "aaa", env=cluster.env)

    assert "has ended already: DONE" in done.stdout
    assert RelayRecord(folder).facts()[-1].state == "DONE"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pid_started": psutil.Process().create_time()}, "is alive: fox-hpc cancel"),
        ({"host": "login-9"}, "it ran on login-9: clean it up there"),
    ],
)
def test_a_run_that_may_live_is_never_touched(
    fox: Fox, runs: Path, cluster: FakeCluster, fields: dict[str, object], sentence: str
) -> None:
    folder = make_run(runs, "aaa-1", **fields)
    job = sleeper(cluster, "aaa-1-site-1-1")
    RelayRecord(folder).add("submitted", "site-1", 1, job_id=job)
    named, all_of_them = fox("cleanup", "aaa", env=cluster.env), fox("cleanup", "--all", env=cluster.env)

    assert (named.returncode, named.stdout) == (1, "")
    assert sentence in named.stderr
    assert all_of_them.returncode == 0
    assert sentence in all_of_them.stdout
    assert state_of(cluster, job) in ("PENDING", "RUNNING")
    assert load_record(folder).state == "RUNNING"


def test_a_scheduler_that_does_not_answer_leaves_the_record_open(fox: Fox, runs: Path) -> None:
    folder = make_run(runs, "aaa-1")
    RelayRecord(folder).add("submitted", "site-1", 1, job_id="4711")
    done = fox("cleanup", "--all", env={"PATH": "/nowhere"})

    assert done.returncode == 3
    assert "aaa-1: scancel is not on PATH" in done.stderr
    assert [fact.what for fact in RelayRecord(folder).facts()] == ["submitted"]


def test_jobs_that_die_with_their_run_are_only_written_down(fox: Fox, runs: Path) -> None:
    """Their ids are process ids, which by now may be anybody's."""
    folder = make_run(runs, "aaa-1", scheduler="local")
    RelayRecord(folder).add("submitted", "site-1", 1, job_id=str(os.getpid()))
    done = fox("cleanup", "aaa")

    assert (done.returncode, done.stderr) == (0, "")
    assert RelayRecord(folder).facts()[-1].state == "LOST"


@pytest.mark.parametrize("words", [[], ["aaa", "--all"]])
def test_a_cleanup_has_to_be_told_of_what(fox: Fox, words: list[str]) -> None:
    done = fox("cleanup", *words)

    assert done.returncode == 2
    assert "name one run, or give --all" in done.stderr


def test_a_killed_server_and_relay_leave_a_job_that_cleanup_ends(
    fox: Fox, start: Start, endless: Path, runs: Path, cluster: FakeCluster
) -> None:
    server = start("submit", endless, "--scheduler", "slurm", env=cluster.env)
    deadline = time.monotonic() + 60
    while not (found := list(runs.glob("*/relay.jsonl"))) or b"submitted" not in found[0].read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [relay] = [one for one in psutil.Process(server.pid).children() if "fox_hpc.site.relay" in words_of(one)]
    # Held still first: a server that saw its relay die would start another one.
    server.send_signal(signal.SIGSTOP)
    relay.send_signal(signal.SIGKILL)
    server.kill()
    server.wait()
    folder = found[0].parent
    [job] = [fact.job_id for fact in RelayRecord(folder).facts() if fact.what == "submitted"]
    done = fox("cleanup", "--all", env=cluster.env)

    assert (done.returncode, done.stderr) == (0, "")
    assert state_of(cluster, job) in ("CANCELLED", "FAILED"), done.stdout


def test_only_what_was_not_seen_to_end_is_open() -> None:
    facts = [
        Fact("submitting", "site-1", 1, 0.0, job_name="a"),
        Fact("submitted", "site-1", 1, 0.0, job_id="1"),
        Fact("ended", "site-1", 1, 0.0, job_id="1"),
        Fact("submitting", "site-1", 2, 0.0, job_name="b"),
        Fact("submitted", "site-1", 2, 0.0, job_id="2"),
        Fact("submitting", "site-2", 1, 0.0, job_name="c"),
        Fact("refused", "site-2", 1, 0.0),
        Fact("submitting", "site-3", 1, 0.0, job_name="d"),
    ]

    assert open_attempts(facts) == [Attempt("site-1", 2, "b", "2"), Attempt("site-3", 1, "d", "")]
