"""The engine with PBS's decisions: ids, queues, requeue, preemption, lost nodes."""

from __future__ import annotations

import copy
import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path

from fox_hpc.fake import jobs as states
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.fit import free_nodes
from fox_hpc.fake.jobs import Config, Job, Node, Share
from fox_hpc.fake.loop import Loop
from fox_hpc.fake.pbs.attributes import REQUEUED
from fox_hpc.fake.pbs.details import details
from fox_hpc.fake.pbs.mom import Mom
from fox_hpc.fake.runner import Face, Runner

NEVER_S = 20 * 365 * 86400.0
FIRST_ELEMENT = 1_000_000_000
"""Elements of arrays behind the first are counted from here: an array takes one number of the sequence."""


class Server(Engine):
    """All jobs and nodes of one fake PBS."""

    def __init__(self, config: Config, folder: Path, loop: Loop, face: Face) -> None:
        super().__init__(config, folder, loop, face)
        names = (f"cn{number:02d}" for number in range(1, config.nodes + 1))
        self.nodes = {name: Node(name, config.cpus, config.gpus, config.mem_mb) for name in names}
        self._next_id = config.first_job_id or int(self.booted) % 900_000 + 1000
        self._next_element = FIRST_ELEMENT
        for name in ("spool", "aux", "mom_priv"):
            (folder / name).mkdir(exist_ok=True)

    def make_runner(self, face: Face) -> Runner:
        return Mom(self, face)

    def submit(self, job: Job, indexes: Sequence[int] = (), throttle: int = 0) -> Job:
        first = super().submit(job, indexes, throttle)
        for number in range(first.id, self._next_id):
            part = self.jobs[number]
            part.details = dataclasses.replace(
                details(part), before=[], tasks={}, output=copy.copy(details(part).output)
            )
            if number > first.id:
                del self.jobs[number]
                part.id = self._next_element
                self.jobs[part.id] = part
                self._next_element += 1
        self._next_id = first.id + 1
        return first

    def _start(self, job: Job, shares: list[Share]) -> None:
        own = details(job)
        own.exec_host, own.last_exit, own.tasks = self._exec_host(job, shares), None, {}
        super()._start(job, shares)

    def _exec_host(self, job: Job, shares: list[Share]) -> str:
        """`cn01/0*2+cn02/1`: node, how many chunks it had before, CPUs."""
        holders = [other for other in self.jobs.values() if other.holds_nodes and other is not job]
        before = [share.node for other in holders for share in other.shares]
        parts = []
        for share, chunk in zip(shares, job.want.chunks, strict=True):
            cpus = f"*{chunk.cpus}" if chunk.cpus > 1 else ""
            parts.append(f"{share.node}/{before.count(share.node)}{cpus}")
            before.append(share.node)
        return "+".join(parts)

    def delete(self, job: Job, by: str, forced: bool = False) -> None:
        """qdel: a running job counts as running until its processes have ended."""
        own = details(job)
        own.deleted_by, own.forced = own.deleted_by or by, forced
        if forced and job.state != states.RUNNING and job.completing:
            self.runner.stop(job, "")
        job.requeue_after_end = False
        self.cancel(job, by=job.uid)

    def preempt(self, job: Job) -> None:
        """TERM, and then back into the queue or away, as the cluster is set up."""
        if self.config.preempt_mode == "cancel":
            self.delete(job, f"Scheduler@{self.config.server_name}")
        elif self.config.preempt_mode == "suspend":
            self.suspend(job)
        elif job.may_requeue:
            job.requeue_after_end = True
            self.end(job, states.PREEMPTED, "None")

    def suspend(self, job: Job, until_told: bool = False) -> None:
        """Stop its processes and its clock, and give its nodes to others; `until_told`: not for room only."""
        own = details(job)
        job.suspended, own.until_told, own.stopped, own.limit_s = True, until_told, self.now(), job.limit_s
        job.limit_s = NEVER_S
        self.runner.signal(job, signal.SIGSTOP, "full")
        self.reschedule()

    def resume(self, job: Job) -> None:
        own = details(job)
        stopped_s = self.now() - own.stopped
        own.stopped_s += stopped_s
        job.suspended = False
        self.runner.signal(job, signal.SIGCONT, "full")
        self.set_limit(job, own.limit_s + stopped_s / self.config.time_scale)

    def _schedule(self) -> None:
        super()._schedule()
        waiting = [job for job in self.jobs.values() if job.suspended and not details(job).until_told]
        for job in () if self.trouble.now.frozen else waiting:
            if self._may_go_on(job):
                self.resume(job)

    def _may_go_on(self, job: Job) -> bool:
        """Its nodes have room again, and nobody whom it gave way to is still waiting."""
        tier = self.queues[job.queue].tier
        if any(
            other.state == states.PENDING
            and other.reason in ("Resources", "Priority")
            and self.queues[other.queue].tier > tier
            for other in self.jobs.values()
        ):
            return False
        free = free_nodes(self.nodes.values(), [each for each in self.jobs.values() if each.holds_nodes])
        for share in job.shares:
            if share.node not in free:
                return False
            free[share.node] = left = free[share.node].minus(share)
            if left.cpus < 0 or left.mem_mb < 0:
                return False
        return True

    def _put_back(self, job: Job) -> None:
        own = details(job)
        own.last_exit, own.lost = REQUEUED, False
        super()._put_back(job)

    def fail_node(self, node: Node, reason: str) -> None:
        """The node is gone. Only who began there is missed, and that after a while."""
        node.down, node.reason = True, reason
        hit = [
            job
            for job in self.jobs.values()
            if job.nodes[:1] == [node.name] and (job.holds_nodes or job.suspended)
        ]
        for job in hit:
            details(job).lost = True
        self.runner.kill_node(node.name)
        for job in hit:
            self._miss(job)
        self.reschedule()

    def _miss(self, job: Job) -> None:
        started = job.started

        def give_up() -> None:
            if job.state == states.RUNNING and job.started == started:
                job.requeue_after_end = job.may_requeue
                self.end(job, states.NODE_FAIL, "NodeDown")

        if job.state == states.RUNNING:
            self.loop.later(self.config.node_fail_wait_s, give_up)
