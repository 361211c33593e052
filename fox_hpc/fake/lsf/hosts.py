"""bhosts, lshosts, bqueues, lsid, badmin. Tables in the form of LSF's manual pages; not recorded."""

from __future__ import annotations

import socket

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job, Node
from fox_hpc.fake.lsf import options as tables
from fox_hpc.fake.lsf.bsub import VERSION
from fox_hpc.fake.lsf.find import remembered
from fox_hpc.fake.lsf.options import Table, parse
from fox_hpc.fake.lsf.record import stat
from fox_hpc.fake.request import Refused, Request, Session


def bhosts(engine: Engine, request: Request, session: Session) -> None:
    """Slots of each host, and who has them."""
    names = _read(tables.HOSTS, request, session)
    if names is None:
        return
    lines = ["HOST_NAME          STATUS       JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV "]
    for node in _nodes(engine, names):
        used = {"RUN": 0, "SSUSP": 0, "USUSP": 0}
        for job in engine.jobs.values():
            if job.holds_nodes:
                used[stat(engine, job)] += sum(share.cpus for share in job.shares if share.node == node.name)
        total = sum(used.values())
        counts = [node.cpus, total, used["RUN"], used["SSUSP"], used["USUSP"], 0]
        lines.append(
            f"{node.name:<18} {_status(node, total):<14} - " + " ".join(f"{n:6d}" for n in counts) + " "
        )
    session.reply("".join(line + "\n" for line in lines))


def _status(node: Node, used: int) -> str:
    if node.down:
        return "unreach"
    return "closed" if node.drained or used >= node.cpus else "ok"


def lshosts(engine: Engine, request: Request, session: Session) -> None:
    """What each host is made of."""
    names = _read(tables.LSHOSTS, request, session)
    if names is None:
        return
    lines = ["HOST_NAME      type    model  cpuf ncpus maxmem maxswp server RESOURCES"]
    lines += [
        f"{node.name:<12} X86_64 Intel_EM  60.0 {node.cpus:5d} {node.mem_mb:5d}M      -    Yes ()"
        for node in _nodes(engine, names)
    ]
    session.reply("".join(line + "\n" for line in lines))


def _nodes(engine: Engine, names: list[str]) -> list[Node]:
    for name in names:
        if name not in engine.nodes:
            raise Refused(f"{name}: Bad host name, host group name or cluster name", 255)
    return [node for node in engine.nodes.values() if not names or node.name in names]


def bqueues(engine: Engine, request: Request, session: Session) -> None:
    """Slots that the jobs of each queue want and have."""
    names = _read(tables.QUEUES, request, session)
    if names is None:
        return
    for name in names:
        if name not in engine.queues:
            raise Refused(f"{name}: No such queue", 255)
    lines = ["QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP "]
    for queue in engine.queues.values():
        if names and queue.name not in names:
            continue
        counts = [sum(map(_slots, jobs)) for jobs in _by_state(engine, queue.name)]
        status = "Open:Active" if queue.up else "Closed:Active"
        numbers = " ".join(f"{n:5d}" for n in (sum(counts), *counts))
        lines.append(f"{queue.name:<15} {queue.tier:<4d} {status:<15}   -    -    -    - {numbers} ")
    session.reply("".join(line + "\n" for line in lines))


def _by_state(engine: Engine, queue: str) -> list[list[Job]]:
    groups = {"PEND": 0, "PSUSP": 0, "RUN": 1, "USUSP": 2, "SSUSP": 2}
    found: list[list[Job]] = [[], [], []]
    for job in remembered(engine):
        now = stat(engine, job)
        if job.queue == queue and now in groups:
            found[groups[now]].append(job)
    return found


def _slots(job: Job) -> int:
    return sum(share.tasks for share in job.shares) or job.want.ntasks


def lsid(engine: Engine, request: Request, session: Session) -> None:
    """Version, cluster and master host."""
    session.reply(
        f"{VERSION}\n\nMy cluster name is {engine.config.name}\nMy master name is {socket.gethostname()}\n"
    )


def badmin(engine: Engine, request: Request, session: Session) -> None:
    """`hclose HOST…` and `hopen HOST…` only."""
    what, *names = [word for word in request.argv if not word.startswith("-")] or [""]
    if what not in ("hclose", "hopen"):
        raise Refused(f"badmin: {what}: the fake knows hclose and hopen", 255)
    for node in _nodes(engine, names):
        node.drained = what == "hclose"
    engine.reschedule()
    done = "closed" if what == "hclose" else "opened"
    session.reply("".join(f"Host <{node.name}> is {done}\n" for node in _nodes(engine, names)))


def _read(table: Table, request: Request, session: Session) -> list[str] | None:
    options, words = parse(table, request.argv, mixed=True)
    if "V" in options or "h" in options:
        session.reply(err=(VERSION if "V" in options else table.usage) + "\n")
        return None
    return words
