"""Ending a process with all that it started."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil

log = logging.getLogger(__name__)

_PR_SET_CHILD_SUBREAPER = 36


def when_owner_dies(action: Callable[[], None]) -> None:
    """Run something when the process that started this one is gone: it holds the other end of stdin."""

    def wait() -> None:
        # Not sys.stdin: a thread that waits inside a buffered reader blocks the interpreter's end.
        while os.read(0, 1024):
            pass
        action()

    threading.Thread(target=wait, name="fox-owner", daemon=True).start()


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent dies, so that it can be ended.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER; elsewhere than on Linux, orphans end by themselves.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans(known: set[int]) -> None:
    """End the children of this process that it has not started itself."""
    for child in psutil.Process().children():
        if child.pid not in known:
            end_tree(child.pid)


def end_with_children() -> None:
    """End this process and all that it has started; for one whose owner is gone."""
    end_tree(os.getpid(), itself=False)
    os._exit(1)


def end_tree(pid: int, *, itself: bool = True, grace_s: float = 3.0) -> None:
    """End a process and all below it, in whatever session they are: TERM, then KILL."""
    try:
        root = psutil.Process(pid)
        # torchrun puts its workers into sessions of their own: a process group would miss them.
        below = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    tree = [root, *below] if itself else below
    for process in tree:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(tree, timeout=grace_s)
    for process in alive:
        _signal(process, "kill")
    psutil.wait_procs(alive, timeout=grace_s)


def _signal(process: Any, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.NoSuchProcess:
        log.debug("process %d has ended already", process.pid)
