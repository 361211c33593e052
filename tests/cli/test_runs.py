"""`status`, `logs` and `cancel`, on run folders made by hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fox_hpc.record import RunRecord, SiteRecord, load_record, save_record

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


def make_run(workspace: Path, run: str, state: str = "RUNNING", **fields: object) -> Path:
    """Make a run folder whose server is this test's process."""
    folder = workspace / run
    folder.mkdir(parents=True)
    known: dict[str, object] = {
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
        "host": socket.gethostname(),
        "started": time.time(),
        "sites": {
            "site-1": SiteRecord(
                "slurm", "4711", 2, "RUNNING", ready=True, nodes="node[1-2]", since=time.time()
            )
        },
    }
    save_record(RunRecord(run, "job", str(folder), "hpc", state, **{**known, **fields}))  # type: ignore[arg-type]
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "fox_runs"


def write_log(folder: Path, attempt: int, name: str, text: str) -> Path:
    log = folder / "sites" / "site-1" / f"attempt-{attempt}" / name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(text)
    return log


def test_status_shows_the_newest_run(fox: Fox, runs: Path) -> None:
    os.utime(make_run(runs, "zzz-old", "DONE") / "status.json", (1, 1))
    make_run(runs, "aaa-new", round=2, rounds=5)
    done = fox("status")

    assert done.returncode == 0
    for word in ("aaa-new", "RUNNING", "round 2/5", "site-1", "4711", "node[1-2]", "ready"):
        assert word in done.stdout
    assert "gone" not in done.stdout


@pytest.mark.parametrize("name", ["aaa-1", "aaa-1-xyz", "fox_runs/aaa-1-xyz"])
def test_a_run_is_found_by_id_by_its_beginning_and_by_folder(fox: Fox, runs: Path, name: str) -> None:
    make_run(runs, "aaa-1-xyz")
    make_run(runs, "bbb-2-xyz")

    assert json.loads(fox("status", name, "--json").stdout)["run"] == "aaa-1-xyz"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["status", "aaa"], "more than one run begins with aaa: "),
        (["status", "ccc"], "there is no run ccc in fox_runs"),
        (["status", "--workspace", "nowhere"], "there are no runs in nowhere"),
        (["logs", "site-1", "ccc"], "there is no run ccc"),
        (["cancel", "ccc"], "there is no run ccc"),
    ],
)
def test_a_run_that_cannot_be_found_has_its_exit_code(
    fox: Fox, runs: Path, words: list[str], sentence: str
) -> None:
    make_run(runs, "aaa-1")
    make_run(runs, "aaa-2")
    done = fox(*words)

    assert (done.returncode, done.stdout) == (4, "")
    assert sentence in done.stderr


def test_status_says_when_the_process_is_gone(fox: Fox, runs: Path) -> None:
    make_run(runs, "aaa-1", pid_started=psutil.Process().create_time() - 1000)
    done = fox("status")

    assert f"its process {os.getpid()} is gone; it may have left slurm job 4711" in done.stdout


def test_status_all_lists_every_run(fox: Fox, runs: Path) -> None:
    make_run(runs, "aaa-1", "DONE")
    make_run(runs, "bbb-1", pid_started=1.0)
    lines = fox("status", "--all").stdout.splitlines()

    assert len(lines) == 3
    assert any("bbb-1" in line and "RUNNING (process gone)" in line for line in lines)


def test_logs_prints_the_last_attempts_stdout(fox: Fox, runs: Path) -> None:
    folder = make_run(runs, "aaa-1")
    write_log(folder, 9, "1_0_log.out", "old\n")
    write_log(folder, 10, "2_0_log.out", "new\n")
    write_log(folder, 10, "2_0_log.err", "oh no\n")

    assert fox("logs", "site-1").stdout == "new\n"
    assert fox("logs", "site-1", "--err").stdout == "oh no\n"


def test_logs_hints_at_stderr_when_stdout_is_empty(fox: Fox, runs: Path) -> None:
    folder = make_run(runs, "aaa-1")
    write_log(folder, 1, "1_0_log.out", "")
    write_log(folder, 1, "1_0_log.err", "oh no\n")
    done = fox("logs", "site-1")

    assert (done.returncode, done.stdout) == (0, "")
    assert "fox-hpc logs site-1 --err" in done.stderr


def test_logs_of_the_relay(fox: Fox, runs: Path) -> None:
    (make_run(runs, "aaa-1") / "relay.log").write_text("submitted\n")

    assert fox("logs", "relay").stdout == "submitted\n"


def test_logs_of_an_unknown_site_names_the_right_ones(fox: Fox, runs: Path) -> None:
    make_run(runs, "aaa-1")
    done = fox("logs", "site-9")

    assert done.returncode == 2
    assert "no site 'site-9': site-1, relay are right" in done.stderr


def test_logs_that_are_not_there_yet_say_what_the_job_does(fox: Fox, runs: Path) -> None:
    make_run(runs, "aaa-1")
    done = fox("logs", "site-1")

    assert done.returncode == 4
    assert "no log yet (its job 4711 is RUNNING)" in done.stderr


def test_logs_follow_until_the_site_has_ended(start: Start, runs: Path) -> None:
    folder = make_run(runs, "aaa-1")
    write_log(folder, 1, "1_0_log.out", "one\n")
    process = start("logs", "site-1", "-f")
    assert process.stdout is not None
    first = process.stdout.readline()
    write_log(folder, 1, "1_0_log.out", "two\n")
    second = process.stdout.readline()
    write_log(folder, 2, "2_0_log.out", "again\n")
    third = process.stdout.readline()
    record = load_record(folder)
    record.sites["site-1"].state = "DONE"
    save_record(record)
    rest, err = process.communicate(timeout=30)

    assert (first, second, third, rest) == ("one\n", "two\n", "again\n", "")
    assert (process.returncode, err) == (0, "==> attempt-2/2_0_log.out <==\n")


def test_cancel_of_an_ended_run_says_so(fox: Fox, runs: Path) -> None:
    make_run(runs, "aaa-1", "DONE")
    done = fox("cancel", "aaa-1")

    assert (done.returncode, done.stdout) == (0, "aaa-1 has ended already: DONE\n")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pid_started": 1.0}, "is gone; it may have left slurm job 4711: nothing was cancelled"),
        ({"host": "login-9"}, "aaa-1 runs on login-9: cancel it there"),
    ],
)
def test_cancel_touches_nothing_that_it_does_not_know(
    fox: Fox, runs: Path, fields: dict[str, object], sentence: str
) -> None:
    folder = make_run(runs, "aaa-1", **fields)
    done = fox("cancel", "aaa-1")

    assert done.returncode == 1
    assert sentence in done.stderr
    assert load_record(folder).state == "RUNNING"


def test_cancel_says_when_the_run_does_not_end_in_time(fox: Fox, runs: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        make_run(runs, "aaa-1", pid=deaf.pid, pid_started=psutil.Process(deaf.pid).create_time())
        done = fox("cancel", "aaa-1", "--timeout", "0.3")
        deaf.kill()

    assert done.returncode == 1
    assert "was told to end, and has not after 0.3 s" in done.stderr


def test_cancel_says_when_the_process_dies_without_ending_its_run(fox: Fox, runs: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as mortal:
        make_run(runs, "aaa-1", pid=mortal.pid, pid_started=psutil.Process(mortal.pid).create_time())
        done = fox("cancel", "aaa-1")
        mortal.wait()

    assert done.returncode == 1
    assert "it died before it could end its run" in done.stderr
