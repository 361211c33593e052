"""What PBS says in a job's comment: why it does not run, where it ran, how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fox_hpc.fake import jobs as states
from fox_hpc.fake.chunks import holds
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.fit import Free, free_nodes
from fox_hpc.fake.jobs import Chunk, Job
from fox_hpc.fake.pbs.details import details
from fox_hpc.fake.pbs.resources import vnode

LESS = "Insufficient amount of resource: "


class Pending:
    """Why jobs wait; looks at the nodes once for any number of jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: tuple[list[Free], list[Free]] | None = None
        self._began: dict[int, float] | None = None

    def _nodes(self) -> tuple[list[Free], list[Free]]:
        """What is free now, and what there is in all."""
        if self._seen is None:
            nodes = self._engine.nodes.values()
            holders = [job for job in self._engine.jobs.values() if job.holds_nodes]
            self._seen = [*free_nodes(nodes, holders).values()], [*free_nodes(nodes).values()]
        return self._seen

    def array_words(self, job: Job) -> str:
        """What a waiting element of an array that has begun says."""
        if job.array is None:
            return ""
        if self._began is None:
            self._began = {}
            for other in self._engine.jobs.values():
                if other.array and other.started:
                    known = self._began.get(other.array.job_id, other.started)
                    self._began[other.array.job_id] = min(known, other.started)
        began = self._began.get(job.array.job_id)
        return time.strftime("Job Array Began at %a %b %d at %H:%M", time.localtime(began)) if began else ""

    def why(self, job: Job) -> str:
        """Give the scheduler's words."""
        if self._engine.trouble.now.frozen:
            return ""
        if not self._engine.queues[job.queue].up:
            return "Not Running: Queue not started."
        free, total = self._nodes()
        chunks, scatter = job.want.chunks, job.want.spread == "scatter"
        if scatter and len(chunks) > len(total):
            return "Can Never Run: Not enough total nodes available"
        usable = [left for left in free if left.cpus and (left.idle or not job.want.exclusive)]
        for name in ("ncpus", "mem", "ngpus"):
            asked, all_of_it, left = (
                sum(_of(c, name) for c in chunks), _sum(total, name), _sum(free, name)
            )  # fmt: skip
            if asked > all_of_it:
                return f"Can Never Run: {LESS}{name} ({_show(name, asked, all_of_it, all_of_it)})"
            if not any(_of(each, name) >= max(_of(c, name) for c in chunks) for each in total):
                return f"Not Running: {LESS}{name} "
            if len(usable) < (len(chunks) if scatter else 1):
                return "Not Running: Not enough free nodes available"
            if asked > left:
                return f"Not Running: {LESS}{name} ({_show(name, asked, left, all_of_it)})"
        if not all(any(holds(each, chunk) for each in total) for chunk in chunks):
            return "Can Never Run: Not enough total nodes available"
        return "Not Running: Not enough free nodes available"


def _of(what: Chunk | Free, name: str) -> int:
    if name == "ncpus":
        return what.cpus
    if name == "mem":
        return what.mem_mb
    return what.gpus if isinstance(what, Chunk) else len(what.gpus)


def _sum(nodes: Iterable[Free], name: str) -> int:
    return sum(_of(node, name) for node in nodes)


def _show(name: str, asked: int, left: int, total: int) -> str:
    unit = "mb" if name == "mem" else ""
    return f"R: {asked}{unit} A: {left}{unit} T: {total}{unit}"


def exec_vnode(job: Job) -> str:
    pieces = details(job).resources.chunks
    return "+".join(vnode(share.node, piece) for share, piece in zip(job.shares, pieces, strict=True))


def job_comment(engine: Engine, job: Job, letter: str, status: int | None, pending: Pending) -> str:
    """The whole comment; empty if the job has none."""
    own = details(job)
    if not job.started:
        if letter == "Q":
            return pending.array_words(job) or pending.why(job)
        return "Subjob finished" if job.array and own.deleted_by else ""
    if letter == "S":
        return pending.why(job)
    when = time.strftime("%a %b %d at %H:%M", time.localtime(job.started))
    words = own.held_words or f"Job run at {when} on {exec_vnode(job)}"
    if own.deleted_by:
        return f"{words} and terminated by {own.deleted_by}"
    if letter != "F" or job.state == states.NODE_FAIL:
        return words
    if job.state == states.TIMEOUT:
        return f"{words} and exceeded resource walltime"
    return f"{words} and {'failed' if status else 'finished'}"
