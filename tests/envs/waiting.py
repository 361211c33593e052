"""Waiting for what comes by itself, and for processes that end, in tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

#: Between two looks; longer after one that took long.
LOOK_S = 0.01


def wait_for(
    condition: Callable[[], object], timeout_s: float = 60.0, what: str = "what was waited for"
) -> None:
    """Wait until something is true; what looking costs, some processes' start maybe, is at most a third."""
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"not in {timeout_s:g} s: {what}"
        time.sleep(max(LOOK_S, 2 * (now - began)))


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that ends while it is looked at does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_of(process: psutil.Process) -> list[str]:
    """Give the words of a process's command; none if it ends while it is looked at."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
