"""What every test gets: a watch over what it leaves running."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

#: How long what a test stopped may take to be gone.
GRACE_S = 5.0
#: Python's own helpers, which live as long as the process that needed them.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child process or a non-daemon thread."""
    children, threads = set(_children()), set(threading.enumerate())
    yield
    deadline = time.monotonic() + GRACE_S
    while left := _left(children, threads):
        if time.monotonic() > deadline:
            pytest.fail("left running: " + "; ".join(left))
        time.sleep(0.02)


def _left(children: set[psutil.Process], threads: set[threading.Thread]) -> list[str]:
    found = [
        f"process {child.pid} {' '.join(words)}"
        for child in _children()
        if child not in children
        for words in [_command(child)]
        if words
    ]
    found += [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and not thread.daemon
    ]
    return found


def _children() -> list[psutil.Process]:
    try:
        # Most tests start nothing, and looking for a child among all of the machine's processes takes 2 ms.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    return psutil.Process().children(recursive=True)


def _command(process: psutil.Process) -> list[str]:
    """Give its command line; nothing for one that is gone or that Python keeps for itself."""
    try:
        words = process.cmdline() or [process.name()]
        kept = process.status() == psutil.STATUS_ZOMBIE or any(name in " ".join(words) for name in HELPERS)
    except psutil.NoSuchProcess:
        return []
    return [] if kept else words


def pytest_configure(config: pytest.Config) -> None:
    """Give all that the tests start a home of its own.

    A job of PBS runs in a login shell: what the profile of whoever tests does there takes its time, and may
    wait for what an earlier shell, which was killed, holds locked.
    """
    if not hasattr(config, "workerinput"):
        home = tempfile.TemporaryDirectory(prefix="fox-home-")
        config.add_cleanup(home.cleanup)
        os.environ["HOME"] = home.name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a real Slurm, unless FOX_TEST_SLURM gives the path of its slurm.conf."""
    conf = os.environ.get("FOX_TEST_SLURM")
    if conf:
        os.environ["SLURM_CONF"] = conf
        return
    left_out = [item for item in items if item.get_closest_marker("cluster")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
