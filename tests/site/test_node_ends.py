"""A job that is ended from outside: its driver and its nodes' launchers outlive the ranks, and say so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from fox_hpc.environment import WorkerEnv
from fox_hpc.site.words import ENDING_SIGNALS, node_words, read_ended, was_ended_from_outside
from fox_hpc.spec import RunSpec, SiteSpec, run_file

RANKS = ["sh", "-c", "echo up; exec sleep 60"]
DRIVER = f"""
import os, sys, threading
from pathlib import Path
from fox_hpc.site.node_starts import run_starts
told = threading.Event()
code = run_starts([{RANKS!r}], os.environ, Path("."), on_start=bool, told=told)
print("told" if told.is_set() else "not told", flush=True)
sys.exit(code)
"""


#: As submitit starts it, which takes TERM for nothing.
WHOLE_DRIVER = """
import signal, sys
from fox_hpc.site.driver import drive
signal.signal(signal.SIGTERM, lambda *_: None)
drive(sys.argv[1], "site-1", 1)
"""


def ended(command: Sequence[str], signum: int, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    """Start a process, send it a signal once its ranks are up; give its exit code and what it says then."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signum)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


@pytest.mark.parametrize("signum", ENDING_SIGNALS, ids=lambda signum: signal.Signals(signum).name)
def test_a_nodes_launcher_ends_its_ranks_and_says_that_it_was_told(tmp_path: Path, signum: int) -> None:
    folder = tmp_path / "sites" / "site-1" / "attempt-1"
    folder.mkdir(parents=True)
    worker = WorkerEnv(("tcp://x:1",), "site-1.app", "site-1", "Client", str(tmp_path), str(tmp_path))
    command = [sys.executable, "-m", "fox_hpc.site.adapter", "-", *RANKS]
    code, _ = ended(command, signum, folder, worker.exports())

    assert code == 143
    assert [(word.exit_code, word.told) for word in node_words(folder)] == [(143, True)]
    assert was_ended_from_outside(folder)


@pytest.mark.parametrize("signum", ENDING_SIGNALS, ids=lambda signum: signal.Signals(signum).name)
def test_a_driver_outlives_its_ranks_and_ends_as_they_did(tmp_path: Path, signum: int) -> None:
    assert ended([sys.executable, "-c", DRIVER], signum, tmp_path, {}) == (143, "told\n")


@pytest.mark.parametrize("signum", ENDING_SIGNALS, ids=lambda signum: signal.Signals(signum).name)
def test_a_driver_that_is_told_to_end_before_it_has_started_its_ranks_ends_them(
    tmp_path: Path, signum: int
) -> None:
    folder = tmp_path / "sites" / "site-1" / "attempt-1"
    folder.mkdir(parents=True)
    os.mkfifo(run_file(tmp_path))
    site = SiteSpec("site-1", run_cmd="sleep 60")
    spec = RunSpec("run", "job", str(tmp_path), (site,), 1, "Client", sys.executable, "slurm", ())
    driver = subprocess.Popen([sys.executable, "-c", WHOLE_DRIVER, str(tmp_path)])
    # It opens when the driver reads what is to be started.
    with run_file(tmp_path).open("wb") as file:
        driver.send_signal(signum)
        file.write(msgspec.json.encode(spec))

    assert driver.wait(30) == 143
    word = read_ended(folder)
    assert word is not None
    assert (word.exit_code, word.told) == (143, True)
