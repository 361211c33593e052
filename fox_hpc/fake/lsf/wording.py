"""How LSF writes: times, wrapped records, reasons for waiting."""

from __future__ import annotations

import time

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job

WIDTH, INDENT = 79, 21
# IBM LSF 10.1 documentation, bjobs -p; the first two and the fourth as recorded from OpenLava
REASONS = {
    "Resources": "Not enough job slot(s): {hosts} host{s};",
    "Priority": "Not enough job slot(s): {hosts} host{s};",
    "Dependency": "Job dependency condition not satisfied;",
    "JobHeldUser": "The job was suspended by the user while pending: 1 host;",
    "DependencyNeverSatisfied": "Dependency condition invalid or never satisfied;",
    "JobArrayTaskLimit": "The job array has reached its running element limit;",
    "BeginTime": "Requeued job is waiting for rescheduling;",
    "PartitionDown": "The queue is inactivated by its administrator;",
}
NEW = "New job is waiting for scheduling;"


def wrapped(text: str) -> str:
    """One record in LSF's way: cut at column 79 wherever that is, the rest indented by 21."""
    lines, rest = [text[:WIDTH]], text[WIDTH:]
    while rest:
        rest = rest.lstrip(" ") if len(lines) else rest
        lines.append(" " * INDENT + rest[: WIDTH - INDENT])
        rest = rest[WIDTH - INDENT :]
    if len(lines[-1]) == WIDTH:
        lines.append(" " * INDENT)
    return "".join(line + "\n" for line in lines)


def long_stamp(moment: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S", time.localtime(moment))


def short_stamp(moment: float) -> str:
    return time.strftime("%b %e %H:%M", time.localtime(moment))


def pending_reason(engine: Engine, job: Job) -> str:
    """Why the job waits, as bjobs -p says it."""
    reason = "JobHeldUser" if job.held else job.reason
    count = sum(not node.drained for node in engine.nodes.values())
    return REASONS.get(reason, NEW).format(hosts=count, s="" if count == 1 else "s")
