"""Watches jobs: asks the queue, then the accounting, and judges what their silence means."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import SchedulerError
from .dialect import ENDED, GONE, Answer, Dialect, Inquiry, JobInfo, Query, Reading

_log = logging.getLogger(__name__)

#: Job ids of one command; a longer line would meet the limits of a shell wrapper or of the kernel.
CHUNK = 200
#: A look at the queue that takes longer tells of a scheduler that should be asked less often.
SLOW_S = 5.0


class Watch:
    """Looks at jobs, and remembers since when which one has been missing.

    Args:
        run: runs a command to its end; SchedulerError if it is not there or takes too long.
    """

    def __init__(
        self,
        run: Callable[[Sequence[str]], Answer],
        *,
        grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._grace_s, self._clock = run, grace_s, clock
        self._absent_since: dict[str, float] = {}
        self._form = 0
        self.trouble = ""
        self.answered_at: float | None = None

    def poll(self, dialect: Callable[[], Dialect], job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Look at jobs, as BatchExecutor promises it."""
        self.trouble = ""
        found: dict[str, JobInfo] = {}
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            try:
                inquiry = dialect().inquiry(chunk)
            except SchedulerError as error:
                self.trouble = str(error)
                break
            found.update(self._look(chunk, inquiry))
        return found

    def _look(self, job_ids: Sequence[str], inquiry: Inquiry) -> dict[str, JobInfo]:
        queue = self._ask_queue(inquiry.queue)
        found = {job_id: queue.jobs[job_id] for job_id in job_ids if job_id in queue.jobs}
        absent = [job_id for job_id in job_ids if job_id not in queue.jobs and job_id not in queue.unknown]
        for job_id in set(job_ids).difference(absent):
            self._absent_since.pop(job_id, None)
        if absent and not queue.problem:
            found.update(self._witnessed(absent, inquiry.record))
        return {job_id: self._closer(info, inquiry) for job_id, info in found.items()}

    def _ask_queue(self, forms: Sequence[Query]) -> Reading:
        """Ask in the form that was answered last time; in the next where it is not understood."""
        started, queue = self._clock(), Reading({}, {})
        for number, query in list(enumerate(forms))[self._form :]:
            queue = self._ask(query)
            if not queue.again:
                self._form = number
                break
        took_s = self._clock() - started
        for job_id, word in queue.unknown.items():
            _log.warning("job %s is in state %r, which this version does not know", job_id, word)
        if queue.problem:
            _log.warning("the queue tells nothing: %s", queue.problem)
            self.trouble = queue.problem
        else:
            self.answered_at = self._clock()
            if took_s > SLOW_S and not self.trouble:
                self.trouble = f"the queue took {took_s:.0f} s to answer"
        return queue

    def _witnessed(self, job_ids: Sequence[str], asked: Query | None) -> dict[str, JobInfo]:
        """Say how jobs ended that are gone from the queue, as far as it is known by now."""
        record = Reading({}, {}) if asked is None else self._ask(asked)
        found = {}
        for job_id in job_ids:
            info = record.jobs.get(job_id)
            if info is not None and info.state in ENDED:
                found[job_id] = info
            elif record.off or self._absent_long(job_id):
                raw = record.unknown.get(job_id, GONE)
                found[job_id] = JobInfo(job_id, "LOST", reason="the scheduler knows it no more", raw=raw)
        return found

    def _absent_long(self, job_id: str) -> bool:
        now = self._clock()
        return now - self._absent_since.setdefault(job_id, now) >= self._grace_s

    def _closer(self, info: JobInfo, inquiry: Inquiry) -> JobInfo:
        """Add what one more question tells of a job that has failed with nobody knows which code."""
        if info.state != "FAILED" or info.exit_code is not None or inquiry.closer is None:
            return info
        for query in (inquiry.closer(info.job_id), inquiry.record):
            more = self._ask(query).jobs.get(info.job_id) if query is not None else None
            if more is not None and (more.exit_code is not None or more.state != info.state):
                reason = info.reason or more.reason
                return replace(info, state=more.state, reason=reason, exit_code=more.exit_code)
        return info

    def _ask(self, query: Query) -> Reading:
        try:
            return query.read(self._run(query.command))
        except SchedulerError as error:
            return Reading({}, {}, str(error), off=isinstance(error.__cause__, FileNotFoundError))
