"""The life of jobs on a fake cluster: submit, start, end, put back. Speaks no dialect.

The engine holds all state and decides; `runner.Runner` starts, signals and finds processes for it.
"""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fox_hpc.fake import jobs as states
from fox_hpc.fake.jobs import ArrayPart, Config, Job, Node, Queue, Run, Share, Step
from fox_hpc.fake.loop import Loop
from fox_hpc.fake.runner import Face, Runner
from fox_hpc.fake.schedule import Cluster, named, plan
from fox_hpc.fake.trouble import Trouble

FIRST_PRIORITY = 4294901760


class Engine:
    """All jobs and nodes of one fake cluster."""

    def __init__(self, config: Config, folder: Path, loop: Loop, face: Face) -> None:
        self.config, self.folder, self.loop = config, folder, loop
        self.jobs: dict[int, Job] = {}
        self.nodes = {
            f"node{i}": Node(f"node{i}", config.cpus, config.gpus, config.mem_mb)
            for i in range(1, config.nodes + 1)
        }
        self.queues: dict[str, Queue] = {queue.name: queue for queue in face.manners.queues}
        self.manners = face.manners
        self.booted = loop.now()
        self.planned_nodes: list[str] = []
        self.trouble = Trouble(config, self.booted)
        self.runner = self.make_runner(face)
        self.changed = True
        # Ids from the clock: a new cluster does not meet the log files of an old one.
        self._next_id = config.first_job_id or int(time.time()) % 90_000_000 + 1000
        self._next_priority = FIRST_PRIORITY
        self._wakes_at = 0.0
        self._waiting: dict[int, list[Callable[[Job], None]]] = {}
        self._for_start: dict[int, Callable[[], None]] = {}
        self._for_room: dict[int, list[Callable[[], None]]] = {}
        self._past: dict[int, list[tuple[float, Job]]] = {}

    def make_runner(self, face: Face) -> Runner:
        """Give who starts and signals processes; a dialect may have its own."""
        return Runner(self, face)

    def now(self) -> float:
        return self.loop.now()

    def cluster(self) -> Cluster:
        return Cluster(self.config, self.nodes, self.queues, self.jobs)

    def find(self, job_id: str) -> list[Job]:
        """Jobs named by an id as users write it, those only that the scheduler still remembers."""
        known = {number: job for number, job in self.jobs.items() if self.remembers(job)}
        return named(job_id, known)

    def remembers(self, job: Job) -> bool:
        over = job.is_over and not job.completing
        return not over or self.now() - job.ended < self.config.min_job_age_s

    def next_id(self) -> int:
        return self._next_id

    def submit(self, job: Job, indexes: Sequence[int] = (), throttle: int = 0) -> Job:
        """Take a job, or one for each array index; gives the first."""
        first = self._next_id
        for index in indexes or (None,):
            part = copy.copy(job)
            part.id = self._next_id
            self._next_id += 1
            if index is not None:
                part.array = ArrayPart(first, index, throttle, tuple(indexes))
            part.priority = 0 if part.held else max(1, self._next_priority - part.nice)
            part.submitted = self.now()
            part.steps, part.runs, part.after = [], [], list(job.after)
            self.jobs[part.id] = part
            self.note(part)
        self._next_priority -= 1
        self.reschedule()
        return self.jobs[first]

    def reschedule(self) -> None:
        self.changed = True
        self.loop.soon(self._schedule)

    def _schedule(self) -> None:
        if self.trouble.now.frozen:
            return
        now = self.now()
        result = plan(self.cluster(), now)
        self.planned_nodes = result.planned_nodes
        for job, shares in result.starts:
            self._start(job, shares)
        for job in result.evict:
            self.preempt(job)
        for job in result.never:
            self.cancel(job, by=0)
        begins = [j.begin for j in self.jobs.values() if j.state == states.PENDING and j.begin > now]
        if begins and not now < self._wakes_at <= min(begins):
            self._wakes_at = min(begins)
            self.loop.later(self._wakes_at - now, self.reschedule)

    def _start(self, job: Job, shares: list[Share]) -> None:
        job.state, job.reason, job.shares, job.started = states.RUNNING, "None", shares, self.now()
        job.ended = 0.0
        job.steps, job.next_step = [], 0
        for share in shares:
            self.nodes[share.node].busy_since = job.started
        if job.batch:
            job.steps.append(Step(-1, "batch", [shares[0].node], job.started))
            job.steps[0].cpus = {shares[0].node: shares[0].cpus}
        self.note(job)
        self._set_timers(job)
        self.runner.start(job)
        if job.id in self._for_start:
            self._for_start.pop(job.id)()

    def _set_timers(self, job: Job) -> None:
        """Limit and warning; they count for this run and this limit only."""
        run = (job.started, job.limit_s)
        scale, left = self.config.time_scale, job.started - self.now()

        def at(delay_s: float, action: Callable[[], None]) -> None:
            def act() -> None:
                if job.state == states.RUNNING and (job.started, job.limit_s) == run:
                    action()

            self.loop.later(left + delay_s * scale, act)

        if job.warn:
            number, target = job.warn.signal, "batch" if job.warn.batch_only else self.manners.warns
            at(max(0.0, job.limit_s - job.warn.lead_s), lambda: self.runner.signal(job, number, target))
        at(job.limit_s, lambda: self.end(job, states.TIMEOUT, "TimeLimit", note=" DUE TO TIME LIMIT"))

    def set_limit(self, job: Job, limit_s: float) -> None:
        job.limit_s = limit_s
        if job.state == states.RUNNING:
            self._set_timers(job)
        self.reschedule()

    def end(self, job: Job, state: str, reason: str, note: str = "", by: int | None = None) -> None:
        """End a running job from outside: TERM to all its processes, KILL after the wait."""
        if job.state != states.RUNNING:
            return
        job.state, job.reason, job.cancelled_by = state, reason, by
        job.completing, job.ended = True, self.now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(job.ended))
        self.runner.stop(job, f"CANCELLED AT {stamp}{note}")
        self.note(job)
        self.reschedule()

    def cancel(self, job: Job, by: int) -> None:
        if job.state == states.RUNNING:
            self.end(job, states.CANCELLED, "None", by=by)
        elif job.state == states.PENDING:
            job.state, job.cancelled_by, job.ended, job.reason = states.CANCELLED, by, self.now(), "None"
            self.note(job)
            self._tell_waiting(job)
            self.reschedule()

    def preempt(self, job: Job) -> None:
        """Steps are told first; the rest of the job has the grace time."""
        if job.reason == "Preempted":
            return
        job.reason = "Preempted"
        job.requeue_after_end = job.may_requeue and self.config.preempt_mode == "requeue"
        started = job.started
        if self.manners.warns_of_preemption:
            self.runner.signal(job, signal.SIGCONT, "steps")
            self.runner.signal(job, signal.SIGTERM, "steps")

        def evict() -> None:
            if job.state == states.RUNNING and job.started == started:
                self.end(job, states.PREEMPTED, "None", note=" DUE TO PREEMPTION")

        self.loop.later(self.config.grace_s if self.manners.warns_of_preemption else 0, evict)

    def requeue(self, job: Job) -> None:
        """Put a running or ended job back into the queue."""
        if job.state == states.RUNNING:
            job.requeue_after_end = True
            self.end(job, states.REQUEUED, "None", note=" DUE TO JOB REQUEUE")
        elif job.completing:
            job.requeue_after_end = True
        else:
            self._put_back(job)

    def hold(self, job: Job) -> None:
        job.held, job.priority = True, 0
        self.reschedule()

    def release(self, job: Job) -> None:
        """Let a held job, or one that waits for its time, go."""
        if job.held:
            job.priority = max(1, self._next_priority - job.nice)
            self._next_priority -= 1
        job.held = False
        self.reschedule()

    def fail_node(self, node: Node, reason: str) -> None:
        """The node is gone, with all that ran on it."""
        node.down, node.reason = True, reason or "Not responding"
        hit = [j for j in self.jobs.values() if j.state == states.RUNNING and node.name in j.nodes]
        for job in hit if self.manners.speaks else ():
            self.runner.tell_steps(job, [f"srun: error: Node failure on {node.name}"])
        self.runner.kill_node(node.name)
        note = " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"
        for job in hit:
            job.requeue_after_end = job.may_requeue
            self.end(job, states.NODE_FAIL, "NodeDown", note=note)
        self.reschedule()

    def ended(self, job: Job, code: int, number: int) -> None:
        """The job's own process ended: code, or the signal that killed it."""
        job.code, job.signal = code, number
        if job.state != states.RUNNING:
            return
        ok = not code and not number
        job.state = states.COMPLETED if ok else states.FAILED
        job.reason = "None" if ok else "JobLaunchFailure" if number else "NonZeroExitCode"
        # A preempted job that ends by itself within its grace time has ended: it is not put back.
        job.requeue_after_end = not number and code in job.requeue_codes
        job.completing, job.ended = True, self.now()
        self.note(job)
        self.changed = True

    def released(self, job: Job) -> None:
        """No process of the job is left: its nodes are free."""
        job.completing = False
        if job.requeue_after_end:
            self._put_back(job)
        else:
            self.note(job)
            self._tell_waiting(job)
        self.reschedule()

    def _put_back(self, job: Job) -> None:
        job.runs.append(Run(job.state, job.started, job.ended, job.nodes, job.shares, job.steps))
        job.state, job.requeue_after_end, job.completing = states.PENDING, False, False
        job.restarts += 1
        job.shares, job.steps, job.next_step = [], [], 0
        job.begin = self.now() + self.config.requeue_wait_s
        job.reason, job.eligible, job.started, job.ended = "BeginTime", job.begin, 0.0, 0.0
        job.code, job.signal, job.cancelled_by = 0, 0, None
        self.note(job)
        self.reschedule()

    def when_over(self, job: Job, callback: Callable[[Job], None]) -> None:
        self._waiting.setdefault(job.id, []).append(callback)

    def when_started(self, job: Job, callback: Callable[[], None]) -> None:
        self._for_start[job.id] = callback

    def when_room(self, job: Job, callback: Callable[[], None]) -> None:
        """Call when a step of the job has ended, for a step that found no room."""
        self._for_room.setdefault(job.id, []).append(callback)

    def step_ended(self, job: Job, step: Step, code: int, number: int) -> None:
        self.runner.step_ended(job, step, code, number)
        for callback in self._for_room.pop(job.id, ()):
            self.loop.later(0, callback)

    def _tell_waiting(self, job: Job) -> None:
        for callback in self._waiting.pop(job.id, ()):
            callback(job)

    def note(self, job: Job) -> None:
        """Keep what accounting will say about the job once its lag has passed."""
        self.changed = True
        if self.config.accounting_lag_s:
            past = copy.copy(job)
            past.steps = [copy.copy(step) for step in job.steps]
            self._past.setdefault(job.id, []).append((self.now(), past))

    def accounted(self) -> list[Job]:
        """Jobs as accounting knows them: as they were a lag ago."""
        lag = self.config.accounting_lag_s
        if not lag:
            return list(self.jobs.values())
        seen_until = self.now() - lag
        answers = []
        for past in self._past.values():
            known = [job for when, job in past if when <= seen_until]
            answers += known[-1:]
        return answers
