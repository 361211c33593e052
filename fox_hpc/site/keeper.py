"""JobKeeper: submits a relay's jobs, watches them, submits again what a scheduler took away, and ends them.

It runs on the relay's main thread, since a scheduler's commands may take long. What it believes of a
job is a SiteJob; what it does is written down first, so that a relay that was killed goes on from there.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import SchedulerError, SubmitError
from ..hpc.resources import HpcConfig
from ..spec import RunSpec
from .doubt import TRIES, Doubt
from .ghosts import Ghosts
from .jobs import SiteJob, take_up, was_taken_away, what_follows
from .launcher import Launcher, attempt_folder, job_name
from .mouth import Mouth
from .pace import Pace
from .relay_record import RelayRecord
from .words import forget_words, read_ended

log = logging.getLogger(__name__)

#: How long a relay that ends tries to see its jobs end.
GIVE_UP_S = 10.0
#: Between two looks for the driver's last word, while a job is thought to have ended …
_QUICK_S = 0.2
#: … and the longest sleep of a relay that watches nothing.
_IDLE_S = 5.0
#: The server is told at least this often, if anybody looks at the queue, when the scheduler last answered.
_TELL_S = 10.0


class JobKeeper:
    """All jobs of one relay."""

    def __init__(self, spec: RunSpec, launcher: Launcher, record: RelayRecord, mouth: Mouth) -> None:
        self.spec = spec
        #: Why the last look at the queue told nothing, or that looks have become rarer; "" if neither.
        self.trouble = ""
        left, now = record.last_attempts(), time.monotonic()
        # Workers of an earlier relay's jobs may come back from now on.
        self.jobs = {site.name: take_up(site.name, left.get(site.name), now) for site in spec.sites}
        self._launcher, self._record, self._mouth = launcher, record, mouth
        self._configs = {s.name: HpcConfig.from_mapping(s.hpc) for s in spec.sites}
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._final: set[str] = set()
        self._finishing: set[str] = set()
        self._fruitless = dict.fromkeys(self.jobs, 0)
        self._uncancelled: set[str] = set()
        self._over: float | None = None
        self._noted: set[tuple[str, int]] = set()
        self._untaken = dict.fromkeys(self.jobs, 0)
        doubted = {job.doubt.name for job in self.jobs.values() if job.doubt}
        self._ghosts = Ghosts(launcher, set(record.open_names()) - doubted)
        self._pace, self._told = Pace(spec.poll_s), 0.0

    def __repr__(self) -> str:
        states = ", ".join(f"{site} {job.state}" for site, job in self.jobs.items())
        return f"<JobKeeper {self.spec.run} · {states}>"

    def later(self, action: Callable[[], None]) -> None:
        """Do something on the main thread; callable from any thread and from a signal handler."""
        self._todo.put(action)

    def run(self) -> None:
        """Keep the jobs until `stop` was called and all have ended."""
        self._adopt()
        while not self._may_go():
            try:
                self._todo.get(timeout=self._idle_s())()
            except queue.Empty:
                self._watch()
        # What nobody knows of may be in the queue by now.
        self._ghosts.lay()

    def _may_go(self) -> bool:
        if self._over is None:
            return False
        # Jobs that a scheduler out of reach cannot cancel end by themselves: their lease is not renewed.
        return len(self._final) == len(self.jobs) or time.monotonic() > self._over + GIVE_UP_S

    def _idle_s(self) -> float:
        """Say how long there is nothing to do: a relay on a login node should sleep."""
        if self._over is not None or any(job.watched and job.suspect for job in self.jobs.values()):
            return _QUICK_S
        now = time.monotonic()
        waits = [job.next_look - now for job in self.jobs.values() if job.watched or job.state == "NEW"]
        return max(0.0, min(waits, default=_IDLE_S))

    def _adopt(self) -> None:
        """Go on from what the earlier relay has written down."""
        for job in list(self.jobs.values()):
            if job.watched:
                log.info("%s: job %s is adopted", job.site, job.job_id)
            if job.ended:
                self._ended(job)

    def note_ready(self, site: str, attempt: int) -> None:
        """A worker holds a site's lease: write it down, and believe no earlier word of the job's end."""
        job = self.jobs[site]
        if job.attempt == attempt and job.ready:
            job.lives()
        if (site, attempt) not in self._noted:
            self._noted.add((site, attempt))
            self._record.add("ready", site, attempt)

    def _watch(self) -> None:
        now = time.monotonic()
        for job in self.jobs.values():
            if job.state == "NEW" and job.next_look <= now and job.site not in self._final:
                (self._submit if job.doubt is None else self._resolve)(job)
            if job.watched and job.suspect:
                self._read_driver(job, now)
        if any(job.watched and job.next_look <= now for job in self.jobs.values()):
            self._look()

    def _submit(self, job: SiteJob) -> None:
        name = job_name(self.spec, job.site, job.attempt)
        self._record.add("submitting", job.site, job.attempt, job_name=name)
        try:
            job_id = self._mouth.submit(job.site, job.attempt)
        except SchedulerError as error:
            if isinstance(error, SubmitError) and error.transient:
                # It may have been taken all the same; its line in the record stays open.
                job.doubt = Doubt(name, str(error), time.monotonic())
            else:
                self._record.add("refused", job.site, job.attempt)
                self._refused(job, str(error))
            return
        self._taken(job, job_id)

    def _taken(self, job: SiteJob, job_id: str) -> None:
        self._record.add("submitted", job.site, job.attempt, job_id=job_id)
        job.submitted(job_id, time.monotonic())
        self._untaken[job.site] = 0
        self._mouth.tell(job, final=False)

    def _refused(self, job: SiteJob, words: str) -> None:
        job.state = "FAILED"
        job.reason = f"{words}\n({job.site} asked for {self._configs[job.site].asked()})"
        self._final.add(job.site)
        self._mouth.tell(job, final=True, refused=job.reason)

    def _resolve(self, job: SiteJob) -> None:
        """Learn by its name whether a job was taken; to submit it once more too soon could double it."""
        doubt = job.doubt
        assert doubt is not None
        found, problem = list[str](), ""
        try:
            found = self._launcher.find(doubt.name)
        except SchedulerError as error:
            problem = str(error)
        now = time.monotonic()
        job.next_look = doubt.next_look(now, self.spec.poll_s)
        if found:
            log.info("%s: job %s, found by its name, is adopted", job.site, found[0])
            self._taken(job, found[0])
        elif not problem and doubt.settled(now, self.spec.poll_s):
            self._submit_another(job, doubt)
        else:
            # For as long as it takes: a job that is submitted once more too soon runs twice.
            job.reason = doubt.reason(problem)
            log.warning("%s", job.reason)
            self._mouth.tell(job, final=False)

    def _submit_another(self, job: SiteJob, doubt: Doubt) -> None:
        site = job.site
        self._untaken[site] += 1
        if self._untaken[site] >= TRIES:
            self._refused(job, doubt.words)
            return
        # Under the name of another attempt: should this one come after all, the two can be told apart.
        log.warning("%s: the scheduler has no job %s; attempt %d follows", site, doubt.name, job.attempt + 1)
        self._ghosts.add(doubt.name)
        self.jobs[site] = SiteJob(site, job.attempt + 1)

    def _look(self) -> None:
        """Ask for all jobs at once: that costs the scheduler no more than to ask for one."""
        for site in list(self._uncancelled):
            self.cancel(site)
        self._ghosts.lay()
        watched = [job for job in self.jobs.values() if job.watched]
        began = time.monotonic()
        answers = self._launcher.poll([job.job_id for job in watched])
        now = time.monotonic()
        self._pace.looked(now - began)
        for job in watched:
            info = answers.get(job.job_id)
            if info is not None and info.state == "LOST":
                self._read_driver(job, now)
            before = job.requeues
            if job.observe(info, now, self._pace.period_s):
                if job.requeues > before:
                    forget_words(self._folder(job))
                self._changed(job)
            elif job.lost_touch is not None and now - job.lost_touch > self.spec.lease_s:
                self._out_of_touch(job)
        self._tell_age([job for job in watched if job.watched], now)

    def _tell_age(self, jobs: list[SiteJob], now: float) -> None:
        """Let the server know when the scheduler last answered, and what keeps it from that."""
        trouble = self._pace.explain(self._launcher.trouble)
        if trouble != self.trouble or now - self._told >= _TELL_S:
            self.trouble, self._told = trouble, now
            for job in jobs:
                self._mouth.tell(job, final=False)

    def _out_of_touch(self, job: SiteJob) -> None:
        if not job.lease_over:
            job.lease_over = True
            job.reason = f"its worker was out of touch for {self.spec.lease_s:g} s"
            self.cancel(job.site)

    def _read_driver(self, job: SiteJob, now: float) -> None:
        if job.driver_ended is None:
            word = read_ended(self._folder(job))
            if word is not None:
                job.driver_ended, job.driver_code, job.driver_told = now, word.exit_code, word.told
                job.suspected(now)

    def _folder(self, job: SiteJob) -> Path:
        return attempt_folder(self.spec.folder, job.site, job.attempt)

    def _changed(self, job: SiteJob) -> None:
        log.info("%s job %s is %s %s", job.site, job.job_id, job.state, job.reason)
        if job.ended:
            self._record.add("ended", job.site, job.attempt, job_id=job.job_id, state=job.state)
            self._ended(job)
        else:
            self._mouth.tell(job, final=False)

    def _ended(self, job: SiteJob) -> None:
        """Decide what follows from a job's end: nothing more, or another attempt."""
        job.ready = False
        site = job.site
        self._fruitless[site] = 0 if job.answered_calls else self._fruitless[site] + 1
        pause_s, words = None, ""
        if self._over is None and site not in self._finishing and was_taken_away(job):
            budget = self._configs[site].max_attempts
            pause_s, words = what_follows(job, self._fruitless[site], budget, self._pace.period_s)
            job.add_reason(words)
            log.info("%s: %s", site, words)
        if pause_s is None:
            self._final.add(site)
        self._mouth.tell(job, final=pause_s is None)
        if pause_s is not None:
            begins = time.monotonic() + pause_s
            self.jobs[site] = SiteJob(site, job.attempt + 1, reason=words, next_look=begins)

    def finish(self, site: str) -> None:
        """The run is over: a worker that serves ends by itself, any other job is cancelled."""
        self._finishing.add(site)
        if self.jobs[site].ready:
            self._mouth.let_finish(site)
        else:
            self.cancel(site)

    def cancel(self, site: str) -> None:
        """End a site's job, and submit no other."""
        job = self.jobs[site]
        if not job.lease_over:
            self._finishing.add(site)
        if job.state == "NEW":
            job.state = "CANCELLED"
            if job.doubt is not None:
                self._ghosts.add(job.doubt.name)
            self._final.add(site)
            self._mouth.tell(job, final=True)
        elif job.watched:
            job.cancel_asked = True
            job.suspected(time.monotonic())
            try:
                self._launcher.cancel([job.job_id])
                self._uncancelled.discard(site)
            except SchedulerError as error:
                self._uncancelled.add(site)
                log.warning("job %s of %s could not be cancelled: %s", job.job_id, site, error)

    def stop(self) -> None:
        """End: cancel every job that has not ended."""
        self._over = self._over or time.monotonic()
        for site in self.jobs:
            if site not in self._final:
                self.cancel(site)

    def tell_all(self) -> None:
        """Tell the server what is known of every job."""
        for site, job in self.jobs.items():
            self._mouth.tell(job, final=site in self._final)
