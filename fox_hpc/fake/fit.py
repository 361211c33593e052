"""Placing: which share of which nodes a request gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from fox_hpc.fake.chunks import fit_chunks
from fox_hpc.fake.jobs import Config, Job, Node, Share, Want


@dataclass(frozen=True)
class Free:
    """What is left of one node."""

    node: Node
    cpus: int
    mem_mb: int
    gpus: tuple[int, ...]
    idle: bool

    def minus(self, share: Share) -> Self:
        left = tuple(gpu for gpu in self.gpus if gpu not in share.gpus)
        return replace(
            self, cpus=self.cpus - share.cpus, mem_mb=self.mem_mb - share.mem_mb, gpus=left, idle=False
        )


def free_nodes(nodes: Iterable[Node], jobs: Iterable[Job] = ()) -> dict[str, Free]:
    """What `jobs` leave of the nodes that are up, by name."""
    free = {
        node.name: Free(node, node.cpus, node.mem_mb, tuple(range(node.gpus)), True)
        for node in nodes
        if node.available
    }
    for job in jobs:
        for share in job.shares:
            if share.node in free:
                free[share.node] = free[share.node].minus(share)
    return free


def fit(want: Want, free: Mapping[str, Free], config: Config) -> list[Share] | None:
    """Shares for the request, in node order, or None if it does not fit."""
    if want.chunks:
        return fit_chunks(want, free)
    room = {
        name: capacity
        for name, left in free.items()
        if name not in want.exclude and (capacity := _capacity(want, left, config)) > 0
    }
    if any(name not in room for name in want.require):
        return None
    for count in _node_counts(want, len(free), config):
        chosen = _choose(want, room, count)
        if chosen is not None:
            tasks = _spread(task_count(want, count), [room[name] for name in chosen])
            return [_share(want, free[name], n, count, config) for name, n in zip(chosen, tasks, strict=True)]
    return None


def task_count(want: Want, nodes: int) -> int:
    """Tasks of a request that got `nodes` nodes."""
    return want.ntasks or nodes * (want.ntasks_per_node or 1)


def _node_counts(want: Want, most: int, config: Config) -> Iterable[int]:
    if want.nodes:
        return range(want.nodes, max(want.nodes, want.max_nodes) + 1)
    least = max(1, len(want.require))
    if want.ntasks and want.ntasks_per_node:
        least = max(least, -(-want.ntasks // want.ntasks_per_node))
    if want.gpus and config.gpus:
        least = max(least, -(-want.gpus // config.gpus))
    return range(least, max(most, least) + 1)


def _capacity(want: Want, left: Free, config: Config) -> int:
    """How many tasks the node takes; 0 = the node is no use."""
    if want.exclusive and not left.idle:
        return 0
    if want.mem_mb > left.mem_mb or want.gpus_per_node > len(left.gpus) or (want.gpus and not left.gpus):
        return 0
    per_task = want.cpus_per_task or 1
    capacity = left.cpus // per_task
    if not want.mem_mb and not want.whole_memory:
        capacity = min(capacity, left.mem_mb // (per_task * _mem_per_cpu(want, config)))
    elif want.whole_memory and left.mem_mb < left.node.mem_mb:
        return 0
    if want.gpus_per_task:
        capacity = min(capacity, len(left.gpus) // want.gpus_per_task)
    return min(capacity, want.ntasks_per_node or capacity)


def _choose(want: Want, room: Mapping[str, int], count: int) -> list[str] | None:
    """`count` nodes that hold all tasks: the first ones in order if those do, else the roomiest."""
    others = [name for name in room if name not in want.require]
    if len(want.require) > count or len(room) < count:
        return None
    need = max(task_count(want, count), count)
    for order in (others, sorted(others, key=lambda name: -room[name])):
        chosen = [*want.require, *order][:count]
        least = want.ntasks_per_node if not want.ntasks else 1
        if sum(room[name] for name in chosen) >= need and all(room[name] >= least for name in chosen):
            return [name for name in room if name in chosen]
    return None


def _spread(tasks: int, room: list[int]) -> list[int]:
    """Tasks a node, as even as the room allows, the first nodes getting the odd ones."""
    result = [0] * len(room)
    left = max(tasks, len(room))
    while left:
        for index, capacity in enumerate(room):
            if left and result[index] < capacity:
                result[index] += 1
                left -= 1
    return result


def _mem_per_cpu(want: Want, config: Config) -> int:
    return max(1, want.mem_per_cpu_mb or config.default_mem_per_cpu_mb)


def _share(want: Want, left: Free, tasks: int, count: int, config: Config) -> Share:
    cpus = left.node.cpus if want.exclusive else tasks * (want.cpus_per_task or 1)
    if want.whole_memory:
        mem = left.node.mem_mb
    else:
        mem = want.mem_mb or min(cpus * _mem_per_cpu(want, config), left.mem_mb)
    gpus = want.gpus_per_node or -(-want.gpus // count) or want.gpus_per_task * tasks
    return Share(left.node.name, tasks, cpus, mem, left.gpus[:gpus])
