"""Sweeping: ending the jobs of one run whose processes are gone, and writing that down."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..environment import process_environ, scrubbed
from ..errors import SchedulerError
from ..record import RUN_ENDED, SITE_ENDED, RunRecord, save_record
from ..site.launcher import Launcher, make_launcher
from ..site.relay_record import RelayRecord
from ..spec import load_spec
from .leftover import Attempt, open_attempts, read_facts
from .runs import server_process

#: Seconds between two looks at jobs that were cancelled.
LOOK_S = 1.0
#: Schedulers whose jobs are processes that die with the run's own: there is nobody to ask, and nothing left.
MORTAL = ("local", "fake-slurm", "fake-pbs", "fake-lsf")


@dataclass
class Job:
    """What was found of one attempt: its state before ("" if nobody knows) and after."""

    attempt: Attempt
    job_id: str = ""
    was: str = ""
    now: str = ""


@dataclass
class Sweep:
    """One run's share of a cleanup.

    Args:
        kept: why nothing of this run was touched, "" if it was.
        trouble: what could not be ended, in the scheduler's words.
    """

    record: RunRecord
    kept: str = ""
    jobs: list[Job] = field(default_factory=list)
    trouble: str = ""

    @property
    def idle(self) -> bool:
        """True if there was nothing to do."""
        return not self.kept and not self.jobs and self.record.state in RUN_ENDED


def why_kept(folder: Path, record: RunRecord) -> str:
    """Say why a run must not be touched, "" if it may be: it lives, or nobody here can tell."""
    if record.host != socket.gethostname():
        return f"it ran on {record.host}: clean it up there"
    if server_process(record) is not None:
        return f"its process {record.pid} is alive: fox-hpc cancel {folder} ends it"
    relay = _relay_process(folder)
    if relay is not None:
        return f"its relay (process {relay}) is alive and still ends its jobs: try again in a minute"
    return ""


def _relay_process(folder: Path) -> int | None:
    words = {"fox_hpc.site.relay", str(folder.resolve())}
    for process in psutil.process_iter(["cmdline"]):
        if words <= set(process.info["cmdline"] or ()):
            return int(process.pid)
    return None


def look(folder: Path, record: RunRecord) -> tuple[Sweep, Launcher | None]:
    """Find a run's open jobs, and say what the scheduler says of them; changes nothing.

    Raises:
        WorkspaceError: the run folder cannot be read.
        SchedulerError: the scheduler did not answer.
    """
    attempts = open_attempts(read_facts(folder))
    if not attempts and record.state in RUN_ENDED:
        return Sweep(record), None
    kept = why_kept(folder, record)
    if kept or not attempts:
        return Sweep(record, kept), None
    spec = load_spec(folder)
    if spec.scheduler in MORTAL:
        return Sweep(record, jobs=[Job(each, each.job_id, "LOST") for each in attempts]), None
    launcher = make_launcher(spec, scrubbed(process_environ()))
    jobs = [job for attempt in attempts for job in _jobs(attempt, launcher)]
    states = launcher.poll([job.job_id for job in jobs if job.job_id])
    for job in jobs:
        job.was = job.was or (states[job.job_id].state if job.job_id in states else "")
    return Sweep(record, jobs=jobs), launcher


def _jobs(attempt: Attempt, launcher: Launcher) -> Iterator[Job]:
    if attempt.job_id:
        yield Job(attempt, attempt.job_id)
        return
    found = launcher.find(attempt.job_name)
    # The scheduler knows no job of that name: it never took it, or has forgotten its end.
    yield from [Job(attempt, job_id) for job_id in found] or [Job(attempt, "", "LOST")]


def end(folder: Path, sweep: Sweep, launcher: Launcher | None, timeout_s: float) -> None:
    """Cancel what lives, wait until it has ended, and write all ends down; sets `now` and `trouble`."""
    for job in sweep.jobs:
        job.now = job.was if job.was in SITE_ENDED else ""
    alive = [job for job in sweep.jobs if not job.now]
    if alive and launcher is not None:
        try:
            launcher.cancel([job.job_id for job in alive])
            _wait(alive, launcher, time.monotonic() + timeout_s)
        except SchedulerError as error:
            sweep.trouble = str(error)
    _write(folder, sweep)
    still = ", ".join(f"{job.attempt.site} job {job.job_id}" for job in sweep.jobs if not job.now)
    if still and not sweep.trouble:
        sweep.trouble = f"{still} was cancelled, and has not ended after {timeout_s:g} s"


def _wait(jobs: list[Job], launcher: Launcher, deadline: float) -> None:
    while waiting := [job for job in jobs if not job.now]:
        states = launcher.poll([job.job_id for job in waiting])
        for job in waiting:
            state = states[job.job_id].state if job.job_id in states else ""
            if state in SITE_ENDED:
                # A scheduler that forgets at once what it cancelled knows no better word.
                job.now = "CANCELLED" if state == "LOST" else state
        if time.monotonic() > deadline:
            return
        if any(not job.now for job in waiting):
            time.sleep(LOOK_S)


def _write(folder: Path, sweep: Sweep) -> None:
    relay, record = RelayRecord(folder), sweep.record
    relay.mend()
    open_sites = {job.attempt.site for job in sweep.jobs if not job.now}
    for job in sweep.jobs:
        each = job.attempt
        # An attempt whose name stood for several jobs ends with the last of them.
        if each.site in open_sites:
            continue
        relay.add("ended", each.site, each.attempt, job_id=job.job_id, state=job.now)
        if each.site in record.sites and record.sites[each.site].attempts <= each.attempt:
            record.sites[each.site].state, record.sites[each.site].since = job.now, time.time()
            record.sites[each.site].ready = False
    if record.state not in RUN_ENDED and not open_sites:
        record.state, record.ended = "FAILED", time.time()
        record.error = record.error or "the process that ran it is gone; what it left was cleaned up"
        save_record(record)
    elif sweep.jobs:
        save_record(record)
