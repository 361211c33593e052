"""Starting the processes of a job, and finding all of them again, wherever they went."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator

import psutil

TAG = "FOX_FAKE_JOB"
"""Variable that marks each process of a job: `<cluster>:<job id>`."""
STEP_TAG = "FOX_FAKE_STEP"
NODE_TAG = "FOX_FAKE_NODE"
TAGS = (TAG, STEP_TAG, NODE_TAG)

_PR_SET_CHILD_SUBREAPER = 36
#: So long a process may be about to become another program, and shows no environment meanwhile.
BECOMES_S = 0.05


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def of_job(cluster: str, job_id: int, sessions: Collection[int] = ()) -> list[tuple[psutil.Process, str]]:
    """Processes of one job, each with its step (`""` for the batch script's own).

    A process belongs to the job by its mark, by its session, or as a descendant of one that does:
    workers that open sessions of their own keep the mark, and programs that wipe their environment keep
    their session.
    """
    found: dict[int, tuple[psutil.Process, str]] = {}
    unmarked: list[psutil.Process] = []
    for process, tags in _tagged():
        if tags.get(TAG) == f"{cluster}:{job_id}":
            found[process.pid] = (process, tags.get(STEP_TAG, ""))
        elif not tags.get(TAG):
            unmarked.append(process)
    # Only our own descendants: the number of a session that ended may be a stranger's by now.
    family = {p.pid for p in psutil.Process().children(recursive=True)} if unmarked else set()
    for process in (p for p in unmarked if p.pid in family):
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) in sessions:
                found[process.pid] = (process, "")
            elif process.ppid() in found:
                found[process.pid] = (process, found[process.ppid()][1])
            elif (tags := _once_begun(process)).get(TAG) == f"{cluster}:{job_id}":
                found[process.pid] = (process, tags.get(STEP_TAG, ""))
    return list(found.values())


def on_node(cluster: str, node: str) -> list[psutil.Process]:
    """Processes of all jobs on one fake node."""
    return [p for p, t in _tagged() if t.get(TAG, "").startswith(f"{cluster}:") and t.get(NODE_TAG) == node]


def send(process: psutil.Process, number: int) -> None:
    """Signal a process that may be gone already."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        process.send_signal(number)


def kill_cluster(cluster: str, family: bool = False) -> bool:
    """Kill every process of every job; True if there was any, so that the caller looks again.

    With `family` also all descendants of this process, which is where orphans without a mark end up.
    """
    found = {p for p, tags in _tagged() if tags.get(TAG, "").startswith(f"{cluster}:")}
    if family:
        found |= {p for p in psutil.Process().children(recursive=True) if not _is_zombie(p)}
    for process in found:
        send(process, signal.SIGKILL)
    return bool(found)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _tagged() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """All living processes that we may look at, with the marks in their environment."""
    me = os.getpid()
    for process in psutil.process_iter():
        if process.pid == me:
            continue
        try:
            environ = process.environ()
            if not environ and process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):
            continue
        yield process, _marks(environ)


def _once_begun(process: psutil.Process) -> dict[str, str]:
    """Give the marks of one that shows no environment, maybe because it is just now becoming a program."""
    deadline = time.monotonic() + BECOMES_S
    while not (environ := process.environ()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return _marks(environ)


def _marks(environ: dict[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in TAGS if name in environ}
