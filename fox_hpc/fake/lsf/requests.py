"""From bsub's options to what the engine takes; refusals in LSF's words (recorded from OpenLava)."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, replace

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.fit import fit, free_nodes
from fox_hpc.fake.jobs import After, Node, Queue, Want, Warn
from fox_hpc.fake.lsf.options import Options, last
from fox_hpc.fake.lsf.wanted import Requirement
from fox_hpc.fake.request import Refused, Request

FOR_CHOSEN_USERS = frozenset({"vip"})
QUEUE_REQUEUES = {"short": (99,)}
"""REQUEUE_EXIT_VALUES of the queues."""
NO_LIMIT_S = 365 * 86400.0
KINDS = {"done": "afterok", "ended": "afterany", "exit": "afternotok", "started": "after",
         "post_done": "afterok", "post_err": "afternotok"}  # fmt: skip


def refused(words: str) -> Refused:
    return Refused(f"{words} Job not submitted.", 255)


@dataclass(frozen=True)
class JobName:
    """`name[1-10:2]%3` taken apart; no indexes = no array."""

    name: str
    indexes: tuple[int, ...] = ()
    throttle: int = 0


def job_name(text: str, largest: int) -> JobName:
    match = re.fullmatch(r"(.*?)\[(.*)\](?:%(\d+))?", text, re.S)
    if match is None:
        return JobName(text)
    indexes: set[int] = set()
    for part in match[2].split(","):
        piece = re.fullmatch(r"\s*(\d+)(?:-(\d+)(?::(\d+))?)?\s*", part)
        if piece is None:
            raise refused("Bad job name.")
        low, high = int(piece[1]), int(piece[2] or piece[1])
        if not 1 <= low <= high < largest or piece[3] == "0":
            raise refused("Bad job name.")
        indexes |= set(range(low, high + 1, int(piece[3] or 1)))
    return JobName(match[1], tuple(sorted(indexes)), int(match[3] or 0))


def queue(engine: Engine, request: Request, options: Options) -> tuple[Queue, bool]:
    """The queue, and whether it is one by default. Of several names the first that is there."""
    default = next(q.name for q in engine.queues.values() if q.default)
    default = request.env.get("LSB_DEFAULTQUEUE", default).split()[0]
    given = last(options, "q")
    for name in (given or default).split():
        if name not in engine.queues:
            raise refused(f"{name}: No such queue.")
        if name in FOR_CHOSEN_USERS:
            raise refused(f"{name}: User cannot use the queue.")
        if not engine.queues[name].up:
            raise refused(f"{name}: Queue has been closed.")
    return engine.queues[(given or default).split()[0]], not given


def slots(options: Options) -> int:
    text = last(options, "n", default="1").split(",")[0]
    if not text.isdigit() or int(text) < 1:
        raise refused("The number of processors must be a positive integer.")
    return int(text)


def run_limit(options: Options, chosen: Queue) -> tuple[float, float]:
    """Seconds until the limit, and the minutes asked for (0 = none): `-W [hours:]minutes[/host]`."""
    text = last(options, "W")
    match = re.fullmatch(r"(?:(\d+):)?(\d+(?:\.\d+)?)(?:/.*)?", text)
    if text and match is None:
        raise refused(f"{text}: Bad RUNLIMIT specification.")
    if match is None:
        return float(chosen.max_time_s or NO_LIMIT_S), 0.0
    minutes = int(match[1] or 0) * 60 + float(match[2])
    if chosen.max_time_s and minutes * 60 > chosen.max_time_s:
        raise refused("RUNLIMIT: Cannot exceed queue's hard limit(s).")
    return minutes * 60, minutes


def warn(options: Options) -> Warn | None:
    """`-wa SIGNAL -wt [hours:]minutes` (IBM documentation; actions other than signals are refused here)."""
    action, lead = last(options, "wa"), last(options, "wt")
    if not action and not lead:
        return None
    match = re.fullmatch(r"(?:(\d+):)?(\d+(?:\.\d+)?)", lead)
    number = signal_number(action) if action else signal.SIGUSR2
    if match is None:
        raise refused(f"{lead}: Bad warning time specification.")
    if number is None:
        raise refused(f"{action}: Bad warning action specification.")
    return Warn(number, int(match[1] or 0) * 3600 + float(match[2]) * 60)


def requeue_codes(options: Options, chosen: Queue) -> tuple[int, ...]:
    """`-Q "99 100"` over the queue's own; `all ~0 ~1` is all but those."""
    text = last(options, "Q")
    if not text:
        return QUEUE_REQUEUES.get(chosen.name, ())
    words = text.split()
    without = {int(word[1:]) for word in words if re.fullmatch(r"~\d+", word)}
    named = range(1, 256) if "all" in words else [int(w) for w in re.findall(r"(?<![~\d])\d+", text)]
    return tuple(code for code in named if code not in without)


def signal_number(name: str) -> int | None:
    """Number of `USR1`, `SIGUSR1` or `10`."""
    if name.isdigit():
        return int(name)
    found = getattr(signal, "SIG" + name.upper().removeprefix("SIG"), None)
    return int(found) if found else None


def want(engine: Engine, options: Options, needs: Requirement, count: int) -> Want:
    """The resources asked for; memory counts for each host, as in LSF unless a site says otherwise."""
    total = sum(node.cpus for node in engine.nodes.values())
    per_host, per_task = gpus(last(options, "gpu")) if "gpu" in options else (0, 0)
    ptile = min(needs.ptile, count)
    wanted = Want(
        nodes=1 if needs.one_host else -(-count // ptile) if ptile else 0,
        ntasks=count,
        ntasks_per_node=ptile,
        mem_mb=needs.mem_mb,
        mem_per_cpu_mb=0 if needs.mem_mb else 1,
        gpus_per_node=per_host,
        gpus_per_task=per_task,
        exclusive="x" in options,
        exclude=_not_named(engine, options),
    )
    every = free_nodes([Node(n.name, n.cpus, n.gpus, n.mem_mb) for n in engine.nodes.values()])
    bare = replace(wanted, mem_mb=0, mem_per_cpu_mb=1, gpus_per_node=0, gpus_per_task=0, exclude=())
    if count > total or fit(bare, every, engine.config) is None:
        raise refused("Too many processors requested.")
    return wanted


def gpus(text: str) -> tuple[int, int]:
    """GPUs for each host, and for each task, of `num=2:mode=…` or `num=1/task`; `-` is one for each host."""
    found = re.search(r"(?:^|:)num=(\d+)(/task|/host)?(?:$|:)", text)
    if found is None:
        if text != "-" and "num=" in text:
            raise refused("Bad GPU requirement syntax.")
        return 1, 0
    count = int(found[1])
    return (0, count) if found[2] == "/task" else (count, 0)


def _not_named(engine: Engine, options: Options) -> tuple[str, ...]:
    names = {name.partition("+")[0].rstrip("!") for name in last(options, "m").split()}
    for name in names:
        if name not in engine.nodes:
            raise refused(f"{name}: Bad host name, host group name or cluster name.")
    return tuple(name for name in engine.nodes if names and name not in names)


def after(engine: Engine, text: str) -> tuple[list[After], bool]:
    """`-w "done(1) && ended(name)"`: all of them, or any with `||`. A mixture of both is refused here.

    A name means the last job of that name.
    """
    if not text:
        return [], False
    any_of, all_of = "||" in text, "&&" in text
    bad = refused(f"{text}: Dependency condition syntax error.")
    if any_of and all_of:
        raise bad
    found = []
    for part in re.split(r"\|\||&&", text):
        match = re.fullmatch(r"\s*\(?\s*(?:(\w+)\s*\(\s*)?([^(),]+?)\s*(?:,[^)]*)?\)?\s*\)?\s*", part)
        if match is None or (match[1] or "done") not in KINDS or part.count("(") != part.count(")"):
            raise bad
        found.append(After(KINDS[match[1] or "done"], _job_of(engine, match[2].strip("\"'"))))
    return found, any_of


def _job_of(engine: Engine, text: str) -> str:
    """The engine's form (`36_2`) of a job id, or of a name."""
    match = re.fullmatch(r"(\d+)(?:\[(\d+)\])?", text)
    for job in reversed(engine.jobs.values()):
        base = job.array.job_id if job.array else job.id
        if match is None and job.name == text:
            return str(base)
        if match and base == int(match[1]):
            return f"{base}_{match[2]}" if match[2] else str(base)
    raise refused(f"{text}: No matching job found.")
