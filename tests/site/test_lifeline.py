"""The line between a node's launcher and its ranks, each end a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from fox_hpc.site.lifeline import Lifelines

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lines are there on Linux only")
RANK = """
import os, sys
from fox_hpc.site import lifeline
lifeline.hold(os.environ, int(sys.argv[1]), lambda: os._exit(7))
print("held", flush=True)
sys.stdin.read()
lifeline.bye()
"""
LAUNCHER = """
import sys
from fox_hpc.site.lifeline import Lifelines
lines = Lifelines()
print(lines.exports()["FOX_LIFELINE"], flush=True)
sys.stdin.read()
"""


def start(code: str, *words: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
    """Start a program, and give it with the first line that it says."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), **environ},
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_the_rank_that_is_killed_first_is_told_from_those_that_follow_and_those_that_leave():
    lines = Lifelines()
    ranks = [start(RANK, str(rank), **lines.exports())[0] for rank in (3, 11, 5)]
    ranks[0].communicate()
    for rank in ranks[1:]:
        rank.send_signal(signal.SIGKILL)
        rank.wait()

    assert lines.first_lost() == "11"
    assert lines.lost == ["11", "5"]


def test_where_no_rank_came_none_is_lost():
    assert Lifelines().first_lost() == ""


def test_a_rank_whose_launcher_is_killed_ends():
    launcher, name = start(LAUNCHER)
    rank, said = start(RANK, "0", FOX_LIFELINE=name)
    launcher.kill()
    launcher.communicate()

    assert (said, rank.wait(30)) == ("held", 7)
    rank.communicate()


def test_a_rank_that_finds_no_launcher_works_without_one():
    for environ in ({}, {"FOX_LIFELINE": "nobody"}):
        rank, said = start(RANK, "0", **environ)
        rank.communicate()

        assert (said, rank.returncode) == ("held", 0)
