"""RunRecord: what is known of a run right now; `status.json` in the run folder.

The server writes it, whenever something changes, for `fox-hpc status` and for people.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from .errors import WorkspaceError
from .spec import write_atomically

#: A run's states; the last three are final.
RUN_STATES = ("STARTING", "RUNNING", "DONE", "FAILED", "CANCELLED")
RUN_ENDED = frozenset(RUN_STATES[2:])
#: A job's states (DESIGN §2); NEW is a site for which nothing was submitted yet.
SITE_ENDED = frozenset({"DONE", "FAILED", "TIMEOUT", "PREEMPTED", "CANCELLED", "LOST"})


class SiteRecord(msgspec.Struct):
    """What is known of one site.

    Args:
        state: NEW, PENDING, RUNNING, DONE, FAILED, TIMEOUT, PREEMPTED, CANCELLED or LOST.
        ready: True while a worker of this site holds a lease.
        reason: the scheduler's word for a state (`Resources`, `NonZeroExitCode`, …).
        nodes: the scheduler's node list (`node[1-2]`).
        since: clock time (s since the epoch) of the last change of state.
        log: the folder of the site's log files.
        call: the function that the site is running, "" when it is idle.
        answered: clock time of the scheduler's last good answer about the job, None before the first. It is
            told when something changes, and every ten seconds or so.
        trouble: why the scheduler's last answer told nothing, or that it came late; "" if neither.
    """

    scheduler: str = ""
    job_id: str = ""
    attempts: int = 0
    state: str = "NEW"
    ready: bool = False
    reason: str = ""
    nodes: str = ""
    exit_code: int | None = None
    since: float = 0.0
    log: str = ""
    call: str = ""
    answered: float | None = None
    trouble: str = ""


class RunRecord(msgspec.Struct):
    """What is known of a run; times are seconds since the epoch.

    Args:
        pid: the process that runs the server, on `host`; `pid_started` tells it from a later one.
        round: rounds finished; `rounds` is how many there will be, None if nobody said.
        result: the algorithm's return value as far as JSON can hold it.
        failures: site → one sentence, from the run's last group call that had any.
        error: why the run failed, one text, "" while it did not.
        notices: sentences for people, e.g. that a fake scheduler is used.
        dropped: site → how many tracked values were dropped on their way, for want of room or a line.
        unwritten: receiver → how many tracked values it could not write; known at the run's end.
    """

    run: str
    job_name: str
    folder: str
    env: str
    state: str = "STARTING"
    started: float = 0.0
    ended: float | None = None
    pid: int = 0
    pid_started: float = 0.0
    host: str = ""
    round: int = 0
    rounds: int | None = None
    result: Any = None
    error: str = ""
    failures: dict[str, str] = {}
    sites: dict[str, SiteRecord] = {}
    notices: list[str] = []
    dropped: dict[str, int] = {}
    unwritten: dict[str, int] = {}

    def copy(self) -> RunRecord:
        """Return a copy that later changes do not reach."""
        return msgspec.convert(msgspec.to_builtins(self), RunRecord)


def record_file(folder: str | os.PathLike[str]) -> Path:
    """Where a run's record lies."""
    return Path(folder) / "status.json"


def save_record(record: RunRecord) -> None:
    """Replace `status.json` in the run folder."""
    write_atomically(record_file(record.folder), msgspec.json.encode(record))


def load_record(folder: str | os.PathLike[str]) -> RunRecord:
    """Read `status.json`.

    Raises:
        WorkspaceError: there is none, or it is not one of ours.
    """
    path = record_file(folder)
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except OSError as error:
        raise WorkspaceError(f"{folder} is not a run folder: {path.name}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WorkspaceError(f"{path} is not a run's record: {error}") from error
