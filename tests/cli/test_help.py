"""The group of commands: its help, its speed, its reference."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fox_hpc.cli.app import COMMANDS
from fox_hpc.cli.reference import reference
from fox_hpc.cli.signals import Interrupts

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
REPO = Path(__file__).resolve().parents[2]


def test_help_lists_commands_and_exit_codes(fox: Fox) -> None:
    done = fox("--help")

    assert done.returncode == 0
    for word in (*COMMANDS, "130", "cancelled by Ctrl-C"):
        assert word in done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, "fake up"])
def test_each_command_has_help(fox: Fox, command: str) -> None:
    done = fox(*command.split(), "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: fox-hpc {command}")


def test_an_unknown_command_is_answered_with_one_line(fox: Fox) -> None:
    done = fox("launch")

    assert done.returncode == 2
    assert done.stderr.startswith("fox-hpc: No such command 'launch'")


def test_help_is_quick() -> None:
    """In seconds of CPU, best of several: what else this machine does is not the question."""
    took = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "fox_hpc", "--help"], capture_output=True, check=True)
        after = os.times()
        took.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )

    assert min(took) < 0.3


def test_the_reference_is_up_to_date() -> None:
    """`scripts/docs` writes it. Only words count: another release of click may break lines elsewhere."""
    written = re.findall(r"[\w-]{4,}", (REPO / "docs" / "cli.md").read_text())

    assert sorted(set(re.findall(r"[\w-]{4,}", reference())) ^ set(written)) == []


def test_interrupts_restore_what_was_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as stop:
        signal.raise_signal(signal.SIGTERM)

        assert (stop.count, stop.exit_code) == (1, 143)

    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_raises_where_nothing_has_to_be_ended() -> None:
    with Interrupts() as stop:
        with pytest.raises(KeyboardInterrupt), stop.raising():
            signal.raise_signal(signal.SIGINT)

        assert stop.exit_code == 130


def test_a_swallowed_interrupt_is_not_lost() -> None:
    def swallow() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("a C extension could not be loaded") from error

    with Interrupts() as stop, pytest.raises(KeyboardInterrupt), stop.raising():
        swallow()
