"""Which jobs start now, and why the others do not. Pure: the clock is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fox_hpc.fake.fit import Free, fit, free_nodes
from fox_hpc.fake.jobs import COMPLETED, PENDING, RUNNING, After, Config, Job, Node, Queue, Share


@dataclass
class Plan:
    """One scheduling pass: what starts, whose job gives way, which nodes are kept for whom."""

    starts: list[tuple[Job, list[Share]]] = field(default_factory=list)
    evict: list[Job] = field(default_factory=list)
    never: list[Job] = field(default_factory=list)
    planned_nodes: list[str] = field(default_factory=list)


@dataclass
class Cluster:
    """The parts of the state that a scheduling pass looks at."""

    config: Config
    nodes: Mapping[str, Node]
    queues: Mapping[str, Queue]
    jobs: Mapping[int, Job]


def plan(cluster: Cluster, now: float) -> Plan:
    """One pass: first in, first out by tier and priority; later jobs fill holes if they delay nobody.

    Sets `reason`, `eligible`, `planned_start` and `planned_nodes` of pending jobs.
    """
    result = Plan()
    holders = [job for job in cluster.jobs.values() if job.holds_nodes]
    free = free_nodes(cluster.nodes.values(), holders)
    queues_seen: set[str] = set()
    kept: tuple[float, list[str]] | None = None
    for job in _in_order(cluster):
        job.planned_start, job.planned_nodes = 0.0, []
        reason = _not_eligible(job, cluster, result, now)
        if reason:
            job.reason = reason
            continue
        job.eligible = job.eligible or max(now, job.begin)
        shares = _place(job, free, kept, cluster.config, now)
        if shares is not None:
            result.starts.append((job, shares))
            for share in shares:
                free[share.node] = free[share.node].minus(share)
            continue
        job.reason = "Priority" if job.queue in queues_seen else "Resources"
        queues_seen.add(job.queue)
        if kept is None:
            starting = [started for started, _ in result.starts]
            kept = _reserve(job, cluster, holders + starting, dict(_all_shares(result)), now)
            result.planned_nodes = kept[1] if kept else []
            result.evict = _victims(job, holders, cluster)
    return result


def _in_order(cluster: Cluster) -> list[Job]:
    pending = [job for job in cluster.jobs.values() if job.state == PENDING and not job.completing]
    return sorted(pending, key=lambda job: (-cluster.queues[job.queue].tier, -job.priority, job.id))


def _not_eligible(job: Job, cluster: Cluster, result: Plan, now: float) -> str:
    if job.held:
        return "JobHeldUser"
    if job.begin > now:
        return "BeginTime"
    if job.after:
        met = dependencies(job, cluster.jobs)
        if met is False:
            if job.kill_on_bad_dependency:
                result.never.append(job)
            return "DependencyNeverSatisfied"
        if met is None:
            return "Dependency"
    if not cluster.queues[job.queue].up:
        return "PartitionDown"
    if job.array and job.array.throttle:
        active = _active_tasks(job, cluster.jobs.values())
        active += sum(other.array is not None and other.array.job_id == job.array.job_id
                      for other, _ in result.starts)  # fmt: skip
        if active >= job.array.throttle:
            return "JobArrayTaskLimit"
    return ""


def _active_tasks(job: Job, jobs: Iterable[Job]) -> int:
    array = job.array
    return sum(
        other.holds_nodes and other.array is not None and array is not None
        and other.array.job_id == array.job_id
        for other in jobs
    )  # fmt: skip


def dependencies(job: Job, jobs: Mapping[int, Job]) -> bool | None:
    """True: met. False: can never be met. None: not yet.

    A job that the scheduler no longer knows counts as met, as in the real one.
    """
    answers = [_dependency(job, after, jobs) for after in job.after]
    if job.any_dependency:
        return True if True in answers else None if None in answers else False
    return False if False in answers else None if None in answers else True


def _dependency(job: Job, after: After, jobs: Mapping[int, Job]) -> bool | None:
    if after.kind == "singleton":
        earlier = [o for o in jobs.values() if o.id < job.id and (o.name, o.uid) == (job.name, job.uid)]
        return None if any(not o.is_over or o.completing for o in earlier) else True
    others = named(after.job_id, jobs)
    if after.kind == "after":
        return True if all(o.state != PENDING for o in others) else None
    if after.kind == "afterok" and any(o.is_over and o.state != COMPLETED for o in others):
        return False
    if any(not o.is_over or o.completing or o.requeue_after_end for o in others):
        return None
    if after.kind == "afternotok" and others:
        return any(o.state != COMPLETED for o in others)
    return True


def named(job_id: str, jobs: Mapping[int, Job]) -> list[Job]:
    """Jobs that `12`, `12_3` or `12_[1-3]` names; an array's id names all its tasks."""
    base, _, part = job_id.partition("_")
    if not base.isdigit():
        return []
    number = int(base)
    tasks = [job for job in jobs.values() if job.array and job.array.job_id == number]
    if part:
        wanted = set(part.strip("[]").split(","))
        return [job for job in tasks if job.array and _in_ranges(job.array.index, wanted)]
    return tasks or ([jobs[number]] if number in jobs else [])


def _in_ranges(index: int, parts: Iterable[str]) -> bool:
    for part in parts:
        low, _, high = part.partition("-")
        if low.isdigit() and int(low) <= index <= int(high if high.isdigit() else low):
            return True
    return False


def _place(
    job: Job, free: Mapping[str, Free], kept: tuple[float, list[str]] | None, config: Config, now: float
) -> list[Share] | None:
    if kept is None:
        return fit(job.want, free, config)
    when, names = kept
    aside = {name: left for name, left in free.items() if name not in names}
    shares = fit(job.want, aside, config)
    if shares is None and now + job.limit_s * config.time_scale <= when:
        shares = fit(job.want, free, config)
    return shares


def _all_shares(result: Plan) -> Iterable[tuple[int, list[Share]]]:
    return ((job.id, shares) for job, shares in result.starts)


def _reserve(
    job: Job, cluster: Cluster, holders: Sequence[Job], starting: Mapping[int, list[Share]], now: float
) -> tuple[float, list[str]] | None:
    """When and where the first blocked job will fit, if all others run to their limit."""
    scale = cluster.config.time_scale

    def end(holder: Job) -> float:
        return (holder.started if holder.id not in starting else now) + holder.limit_s * scale

    # A copy that holds the shares a starting job is about to get.
    left = [(end(h), starting.get(h.id, h.shares)) for h in holders]
    left.sort(key=lambda item: item[0])
    for index in range(len(left) + 1):
        free = free_nodes(cluster.nodes.values())
        for _, shares in left[index:]:
            for share in shares:
                if share.node in free:
                    free[share.node] = free[share.node].minus(share)
        shares_then = fit(job.want, free, cluster.config)
        if shares_then is not None:
            when = max(now, left[index - 1][0]) if index else now
            job.planned_start, job.planned_nodes = when, [share.node for share in shares_then]
            return when, job.planned_nodes
    return None


def _victims(job: Job, holders: Sequence[Job], cluster: Cluster) -> list[Job]:
    """Running jobs of lower, preemptable queues that must go so that `job` fits; latest first."""
    tier = cluster.queues[job.queue].tier
    lower = [
        h for h in holders
        if h.state == RUNNING and cluster.queues[h.queue].preemptable and cluster.queues[h.queue].tier < tier
    ]  # fmt: skip
    victims: list[Job] = []
    for victim in sorted(lower, key=lambda h: -h.started):
        victims.append(victim)
        rest = [h for h in holders if h not in victims and not h.completing]
        if fit(job.want, free_nodes(cluster.nodes.values(), rest), cluster.config) is not None:
            return victims
    return []
