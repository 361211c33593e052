"""SiteJob: what a relay believes about one site's job, and what follows from news. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..hpc.dialect import JobInfo, is_forward
from ..record import SITE_ENDED
from .doubt import Doubt
from .exit_codes import EXIT_NO_START
from .relay_record import LastAttempt

#: After a sign that the job has ended, the scheduler is given this long to confirm it.
CONFIRM_S = 10.0
CONFIRM_TERM_S = 40.0
#: … which says nothing new of a driver that ended well; a PBS without history and a Slurm without
#: accounting have soon forgotten its job.
CONFIRM_DONE_S = 2.0
#: Looks after a submission: quick ones first, then the steady period.
FIRST_LOOKS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


#: Ends that are not the job's own fault: trying again may go well.
TAKEN_AWAY = frozenset({"PREEMPTED", "TIMEOUT", "LOST"})
_BACKOFF_S = (1.0, 5.0, 30.0, 120.0)


def was_taken_away(job: SiteJob) -> bool:
    """Tell whether a job that ended while its run goes on may be submitted again, its budget aside."""
    if job.driver_code == EXIT_NO_START or (job.cancel_asked and not job.lease_over):
        return False
    # A worker leaves with success before the run is over only when its time is up.
    left_in_time = job.state == "DONE"
    return job.state in TAKEN_AWAY or left_in_time


def what_follows(job: SiteJob, fruitless: int, max_attempts: int, poll_s: float) -> tuple[float | None, str]:
    """Say what follows upon the end of a job that was taken away.

    Args:
        fruitless: attempts that ended, this one included, since a call was last answered.

    Returns:
        the pause in seconds before the next attempt, None if the budget allows none, and both in words.
    """
    if fruitless >= max_attempts:
        spent = f"{fruitless} of {max_attempts} attempts ended without an answered call"
        return None, f"{spent}: a larger max_attempts in hpc_config allows more"
    pause_s = backoff_s(fruitless, poll_s)
    return pause_s, f"attempt {job.attempt + 1} follows in {pause_s:g} s"


def backoff_s(fruitless: int, poll_s: float) -> float:
    """Give the pause before the next submission; short where the scheduler is looked at often."""
    return min(_BACKOFF_S[min(fruitless, len(_BACKOFF_S) - 1)], poll_s * 4)


@dataclass
class SiteJob:
    """One attempt of one site's job.

    `state` only moves forward. A worker that is out of touch, or a driver that left its last word, are
    signs of an end; the scheduler's record decides, and where it stays silent the driver's word does.
    """

    site: str
    attempt: int = 1
    job_id: str = ""
    state: str = "NEW"
    reason: str = ""
    nodes: str = ""
    exit_code: int | None = None
    ready: bool = False
    lost_touch: float | None = None
    driver_ended: float | None = None
    driver_code: int | None = None
    driver_told: bool = False
    looks: int = 0
    next_look: float = 0.0
    answered: float | None = None
    cancel_asked: bool = False
    lease_over: bool = False
    requeues: int = 0
    answered_calls: int = 0
    doubt: Doubt | None = None

    @property
    def ended(self) -> bool:
        """True once nothing more will come of this attempt."""
        return self.state in SITE_ENDED

    @property
    def watched(self) -> bool:
        """True while there is a job to look at."""
        return bool(self.job_id) and not self.ended

    def add_reason(self, words: str) -> None:
        """Say something more behind the reason of the job's state."""
        self.reason = f"{self.reason}; {words}" if self.reason else words

    def submitted(self, job_id: str, now: float) -> None:
        """The scheduler has taken the job."""
        self.job_id, self.state, self.next_look = job_id, "PENDING", now + FIRST_LOOKS_S[0]
        self.reason, self.doubt = "", None

    def observe(self, info: JobInfo | None, now: float, poll_s: float) -> bool:
        """Take the scheduler's answer, None if it had none; tell whether anything changed."""
        quick = FIRST_LOOKS_S[self.looks] if self.looks < len(FIRST_LOOKS_S) else poll_s
        self.looks += 1
        self.next_look = now + (1.0 if self.suspect else min(quick, poll_s))
        before = (self.state, self.reason, self.nodes, self.exit_code, self.requeues)
        if info is not None:
            self.answered = now
            self._believe(info)
        self._conclude(now)
        return before != (self.state, self.reason, self.nodes, self.exit_code, self.requeues)

    @property
    def suspect(self) -> bool:
        """True if there is a sign that the job has ended."""
        return self.lost_touch is not None or self.driver_ended is not None or self.cancel_asked

    def suspected(self, now: float) -> None:
        """Look at once: something points to the job's end."""
        self.next_look = min(self.next_look, now)

    def lives(self) -> None:
        """A worker of it serves: what spoke of an end was of an earlier start, which no look has shown."""
        self.driver_ended = self.driver_code = self.lost_touch = None
        self.driver_told = False

    def _believe(self, info: JobInfo) -> None:
        if info.state == "PENDING" and self.state == "RUNNING" and not self.ready:
            # The scheduler has put the job back into its queue; what was before is over.
            self.requeues += 1
            self.state, self.reason, self.nodes = "PENDING", info.reason or "requeued", ""
            self.lives()
            return
        # "LOST" from a query only means that the scheduler forgot the job: the driver knew better.
        if info.state == "LOST" and self.driver_ended is not None:
            self._end_as_driver_said()
        elif info.state == "LOST" and self.cancel_asked:
            self.state, self.reason = "CANCELLED", "cancelled"
        elif info.state == self.state and not self.ended and not self.lease_over:
            # Why a job waits changes while it does; so does whether its host answers.
            self.reason, self.nodes = info.reason, info.nodes or self.nodes
        elif is_forward(self.state, info.state):
            self.state, self.reason = info.state, info.reason
            self.nodes = info.nodes or self.nodes
            if info.exit_code is not None:
                self.exit_code = info.exit_code
            if self.lease_over and self.state == "CANCELLED":
                self.state, self.reason = "LOST", "its worker was out of touch with the relay"
            if self.ended and self.exit_code in (None, 0) and self.driver_code is not None:
                self.exit_code = self.driver_code

    def _conclude(self, now: float) -> None:
        # A driver whose ranks got TERM stays until the scheduler ends it too, which takes a while.
        patience_s = {0: CONFIRM_DONE_S, 143: CONFIRM_TERM_S}.get(self.driver_code or 0, CONFIRM_S)
        if not self.ended and self.driver_ended is not None and now - self.driver_ended > patience_s:
            self._end_as_driver_said()

    def _end_as_driver_said(self) -> None:
        self.exit_code = self.driver_code
        if self.lease_over:
            self.state, self.reason = "LOST", "its worker was out of touch with the relay"
        elif self.cancel_asked:
            self.state, self.reason = "CANCELLED", "cancelled"
        elif self.driver_told and self.driver_code not in (0, EXIT_NO_START):
            # A preemption, a limit, an administrator: a scheduler that has forgotten the job cannot say.
            self.state, self.reason = "LOST", "ended from outside, the scheduler does not say why"
        else:
            self.state = "DONE" if self.driver_code == 0 else "FAILED"
            self.reason = self.reason or f"its driver exited with {self.driver_code}"


def take_up(site: str, last: LastAttempt | None, now: float) -> SiteJob:
    """Give the job of a site as an earlier relay of its run has left it, None if that has left nothing."""
    if last is None:
        return SiteJob(site)
    if last.what == "left":
        return SiteJob(site, last.attempt + 1)
    job = SiteJob(site, last.attempt)
    if last.what == "submitting":
        job.doubt = Doubt(last.job_name, "its relay was killed while it submitted", now)
    elif last.what == "submitted":
        job.submitted(last.job_id, now)
        job.lost_touch = now if last.was_ready else None
    elif last.what in ("ended", "refused"):
        job.state, job.job_id = last.state or "FAILED", last.job_id
    return job
