"""`fox-hpc fake up`: a command with the fake scheduler on PATH."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


def test_a_command_finds_the_scheduler_on_path(fox: Fox) -> None:
    done = fox("fake", "up", "--nodes", "3", "--", "sinfo", "--noheader", "-o", "%D")

    assert (done.returncode, set(done.stdout.split())) == (0, {"3"})


def test_the_exit_code_is_the_commands(fox: Fox) -> None:
    assert fox("fake", "up", "--", "sh", "-c", "exit 7").returncode == 7
    assert fox("fake", "up", "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_a_command_that_is_not_there_is_127(fox: Fox) -> None:
    done = fox("fake", "up", "--", "no-such-command-here")

    assert done.returncode == 127
    assert "no-such-command-here: No such file or directory" in done.stderr


def test_a_signal_that_comes_with_the_commands_first_breath_is_passed_on(fox: Fox) -> None:
    done = fox("fake", "up", "--", "sh", "-c", "kill -HUP $PPID; exec sleep 60")

    assert done.returncode == 128 + signal.SIGHUP


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_the_cluster_is_taken_down(start: Start, signum: int) -> None:
    process = start("fake", "up", "--", "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signum)
    process.communicate(timeout=30)

    assert process.returncode == 128 + signum
    assert psutil.wait_procs(below, timeout=10)[1] == []
