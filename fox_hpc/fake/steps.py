"""Placing a step inside the nodes of its job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fox_hpc.fake.jobs import RUNNING, Job, Share


@dataclass(frozen=True)
class StepWant:
    """Resources a step asks for; 0 or empty = not said."""

    nodes: int = 0
    ntasks: int = 0
    ntasks_per_node: int = 0
    cpus_per_task: int = 0
    exact: bool = False
    overlap: bool = False
    overcommit: bool = False
    require: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class TooFewNodes(Exception):
    """The job has fewer nodes than the step needs."""


class TooFewCpus(Exception):
    """The job's nodes have fewer CPUs than the step needs."""


Placement = list[tuple[Share, int]]
"""Each node of a step with its number of tasks."""


def place(job: Job, want: StepWant) -> Placement:
    """Nodes of the step; raises TooFewNodes, TooFewCpus."""
    shares = [s for s in job.shares if s.node not in want.exclude]
    if want.require:
        shares = [s for s in shares if s.node in want.require]
    count = want.nodes or len(shares)
    if want.ntasks:
        count = min(count, want.ntasks)
    if count > len(shares) or not shares or any(n not in job.nodes for n in want.require):
        raise TooFewNodes
    shares = shares[:count]
    tasks = want.ntasks or count * (want.ntasks_per_node or 1)
    return list(zip(shares, _spread(tasks, shares, want), strict=True))


def _spread(tasks: int, shares: Sequence[Share], want: StepWant) -> list[int]:
    per_task = want.cpus_per_task or 1
    room = [tasks if want.overcommit else share.cpus // per_task for share in shares]
    if want.ntasks_per_node:
        room = [min(capacity, want.ntasks_per_node) for capacity in room]
    if sum(room) < tasks or 0 in room:
        raise TooFewCpus
    result = [0] * len(shares)
    while tasks:
        for index, capacity in enumerate(room):
            if tasks and result[index] < capacity:
                result[index] += 1
                tasks -= 1
    return result


def cpus_taken(placement: Placement, want: StepWant) -> dict[str, int]:
    """CPUs the step takes on each node: all that the job has there unless `exact`; none if it overlaps."""
    if want.overlap:
        return {}
    per_task = want.cpus_per_task or 1
    return {
        share.node: min(share.cpus, tasks * per_task) if want.exact else share.cpus
        for share, tasks in placement
    }


def has_room(job: Job, taken: dict[str, int]) -> bool:
    """Whether the running steps leave these CPUs."""
    total = {share.node: share.cpus for share in job.shares}
    for node, cpus in taken.items():
        used = sum(s.cpus.get(node, 0) for s in job.steps if s.id >= 0 and s.state == RUNNING)
        if used + cpus > total[node]:
            return False
    return True
