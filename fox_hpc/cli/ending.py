"""Ending: what the command that ran a run leaves for those who watch it from elsewhere; `ending.json`."""

from __future__ import annotations

import logging
import math
import socket
import time
from pathlib import Path

import msgspec

from ..record import RunRecord
from ..spec import write_atomically
from .runs import server_process
from .summary import Scalar

log = logging.getLogger(__name__)

#: How long after a run's end its command may take to say how it ended.
PATIENCE_S = 3.0
LOOK_S = 0.1


class Ending(msgspec.Struct, frozen=True):
    """How a run ended for the command that ran it: its exit code, and points as (site, tag, step, value)."""

    exit_code: int
    #: None for NaN and infinities, which JSON lacks.
    points: list[tuple[str, str, int | None, float | None]] = []

    @property
    def scalars(self) -> list[Scalar]:
        """The curves, with NaN where JSON had none."""
        return [
            (site, tag, step, math.nan if value is None else value) for site, tag, step, value in self.points
        ]


def ending_file(folder: str | Path) -> Path:
    """Where a run's ending lies."""
    return Path(folder) / "ending.json"


def save_ending(folder: str | Path, ending: Ending) -> None:
    """Write it down; a run folder that cannot be written costs a watcher its table, and nothing else."""
    try:
        write_atomically(ending_file(folder), msgspec.json.encode(ending))
    except OSError as error:
        log.warning("%s cannot be written: %s", ending_file(folder), error)


def wait_for_ending(record: RunRecord) -> Ending:
    """Give the ending of a run that has ended; made up from its record if nobody wrote one down."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        # Looked at before the file: a process that is gone has written all it will.
        over = server_process(record) is None and record.host == socket.gethostname()
        try:
            return msgspec.json.decode(ending_file(record.folder).read_bytes(), type=Ending)
        except (OSError, msgspec.MsgspecError):
            if over or time.monotonic() > deadline:
                return Ending(exit_code_of(record))
        time.sleep(LOOK_S)


def exit_code_of(record: RunRecord) -> int:
    """Tell from its record what a run ended with."""
    if record.state == "DONE":
        return 0
    if record.state == "CANCELLED":
        return 130
    # As `submit` has it: where no site got a job the scheduler is the cause, not the algorithm.
    batch = record.env == "hpc" and bool(record.sites)
    never = batch and not any(site.job_id for site in record.sites.values())
    return 3 if never and all(site.state == "FAILED" for site in record.sites.values()) else 1
