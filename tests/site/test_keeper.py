"""What a relay does about a submission of which it never hears whether it was taken."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fox_hpc.environment import WorkerEnv
from fox_hpc.errors import SchedulerError, SubmitError
from fox_hpc.hpc.dialect import JobInfo, JobState
from fox_hpc.site.doubt import TRIES
from fox_hpc.site.jobs import SiteJob
from fox_hpc.site.keeper import JobKeeper
from fox_hpc.site.relay_record import RelayRecord
from fox_hpc.spec import RunSpec, SiteSpec

SITE = "site-1"


@dataclass
class BusyQueue:
    """A scheduler in memory, and the relay's mouth; the first `silent` submissions are not answered.

    Args:
        shows: how often it is asked for a name before it shows the job; never if None.
    """

    silent: int = 1
    shows: int | None = None
    fails: int = 0
    asked: list[str] = field(default_factory=list)
    submitted: list[int] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    told: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    ends: JobState = "RUNNING"
    trouble: str = ""
    happened: threading.Condition = field(default_factory=threading.Condition)

    def submit(self, site: str, attempt: int | WorkerEnv) -> str:
        assert isinstance(attempt, int)
        self.submitted.append(attempt)
        if len(self.submitted) <= self.silent:
            raise SubmitError("Socket timed out", transient=True)
        return f"job-{attempt}"

    def find(self, name: str) -> list[str]:
        if self.fails > 0:
            self.fails -= 1
            raise SchedulerError("the queue is silent")
        self.asked.append(name)
        there = self.shows is not None and self.asked.count(name) > self.shows
        return [f"job-{name.rpartition('-')[2]}"] if there else []

    def poll(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        return {id: JobInfo(id, "CANCELLED" if id in self.cancelled else self.ends) for id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        with self.happened:
            self.cancelled.update(job_ids)
            self.happened.notify_all()

    def tell(self, job: SiteJob, *, final: bool, refused: str = "") -> None:
        with self.happened:
            self.told.append((f"{job.state} {job.attempt}", refused))
            self.reasons.append(job.reason)
            self.happened.notify_all()

    def let_finish(self, site: str) -> None:
        """Nobody is asked to finish here."""

    def wait_for(self, condition: Any) -> None:
        with self.happened:
            assert self.happened.wait_for(condition, 20)


def keep(folder: Path, queue: BusyQueue, until: Any, poll_s: float = 0.1) -> RelayRecord:
    """Let a keeper keep one site's job until something has happened, and end it."""
    spec = RunSpec(
        run="run", job_name="test", folder=str(folder), sites=(SiteSpec(SITE),), min_clients=1,
        client_class="Client", python="python", scheduler="slurm", server_urls=(), poll_s=poll_s,
    )  # fmt: skip
    record = RelayRecord(folder)
    keeper = JobKeeper(spec, queue, record, queue)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        queue.wait_for(until)
    finally:
        keeper.later(keeper.stop)
        thread.join(30)
    assert not thread.is_alive()
    return record


def test_a_job_that_shows_up_late_is_adopted_and_no_other_is_submitted(tmp_path: Path):
    queue = BusyQueue(shows=2, fails=1)
    keep(tmp_path, queue, lambda: ("RUNNING 1", "") in queue.told, poll_s=1.0)

    assert queue.submitted == [1]
    assert queue.cancelled == {"job-1"}


def test_a_job_that_comes_after_another_took_its_place_is_cancelled(tmp_path: Path):
    queue = BusyQueue(shows=6)
    keep(tmp_path, queue, lambda: "job-1" in queue.cancelled)

    assert queue.submitted == [1, 2]
    assert ("RUNNING 2", "") in queue.told or ("PENDING 2", "") in queue.told


def test_a_scheduler_that_takes_nothing_is_told_in_its_words_after_some_tries(tmp_path: Path):
    queue = BusyQueue(silent=99)
    keep(tmp_path, queue, lambda: any(refused for _, refused in queue.told))

    assert len(queue.submitted) == TRIES
    state, refused = queue.told[-1]
    assert state == f"FAILED {TRIES}"
    assert "Socket timed out" in refused


def test_a_submission_that_its_relay_did_not_live_to_hear_of_is_looked_for(tmp_path: Path):
    RelayRecord(tmp_path).add("submitting", SITE, 1, job_name="run-site-1-1")
    queue = BusyQueue(silent=0, shows=0)
    record = keep(tmp_path, queue, lambda: ("RUNNING 1", "") in queue.told)

    assert queue.submitted == []
    assert record.open_jobs() == []


def test_while_the_queue_does_not_answer_the_reason_names_the_job_and_what_the_last_look_met(tmp_path: Path):
    queue = BusyQueue(fails=4, shows=0)
    keep(tmp_path, queue, lambda: ("RUNNING 1", "") in queue.told)

    waiting = [reason for reason in queue.reasons if "run-site-1-1" in reason]
    assert len(waiting) == 4
    assert all("Socket timed out" in reason and "the queue is silent" in reason for reason in waiting)
    assert queue.submitted == [1]


def test_a_job_of_which_nobody_knows_is_looked_for_once_more_when_the_run_ends(tmp_path: Path):
    queue = BusyQueue(fails=1, shows=0)
    keep(tmp_path, queue, lambda: any("not known" in reason for reason in queue.reasons), poll_s=60.0)

    assert queue.cancelled == {"job-1"}
    assert queue.told[-1] == ("CANCELLED 1", "")


def test_the_budgets_end_is_told_beside_the_last_attempts_reason(tmp_path: Path):
    queue = BusyQueue(silent=0, ends="PREEMPTED")
    keep(tmp_path, queue, lambda: "3 of 3 attempts" in queue.reasons[-1] if queue.reasons else False)

    assert queue.submitted == [1, 2, 3]
    assert any(reason.startswith("attempt 2 follows in 0.4 s") for reason in queue.reasons)
    assert "a larger max_attempts in hpc_config allows more" in queue.reasons[-1]


def test_what_keeps_the_scheduler_from_answering_is_told_at_once(tmp_path: Path):
    queue = BusyQueue(silent=0, trouble="squeue did not end within 30 s")
    keep(tmp_path, queue, lambda: len(queue.told) >= 3, poll_s=60.0)

    # Its submission, its first look, and the trouble of that look.
    assert [word for word, _ in queue.told[:3]] == ["PENDING 1", "RUNNING 1", "RUNNING 1"]
