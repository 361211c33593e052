"""pbsnodes."""

from __future__ import annotations

import os
import time
from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job, Node
from fox_hpc.fake.pbs.details import job_id, sequence
from fox_hpc.fake.pbs.options import VERSION, getopt, given, last
from fox_hpc.fake.pbs.show import document, flat
from fox_hpc.fake.request import Refused, Request, Session

SUMMARY = """\
vnode           state           OS       hardware host            queue        mem     ncpus   nmics   ngpus  comment
--------------- --------------- -------- -------- --------------- ---------- -------- ------- ------- ------- ---------
"""  # noqa: E501
JOBS = """\
                                                        mem       ncpus   nmics   ngpus
vnode           state           njobs   run   susp      f/t        f/t     f/t     f/t   jobs
--------------- --------------- ------ ----- ------ ------------ ------- ------- ------- -------
"""
DOWN = "node down: communication closed"


def pbsnodes(engine: Engine, request: Request, session: Session) -> None:
    """Show nodes; `-o` takes them out of service and `-r` back in, for managers."""
    if request.argv == ["--version"]:
        session.reply(f"pbs_version = {VERSION}\n")
        return
    options, words = getopt("pbsnodes", request.argv, "aC:D:F:jlorSsvL")
    unknown = [word for word in words if word not in engine.nodes]
    if unknown:
        raise Refused(f"Node: {unknown[0]},  Error: Unknown node ", 1)
    nodes = [engine.nodes[word] for word in words] or list(engine.nodes.values())
    if given(options, "o") or given(options, "r"):
        _set_offline(engine, request, nodes, given(options, "o"))
        session.reply()
    elif given(options, "S"):
        session.reply(_table(engine, nodes, given(options, "j")))
    elif given(options, "l"):
        session.reply("".join(f"{n.name:<20} {_state(engine, n)}\n" for n in nodes if not n.available))
    elif last(options, "F").lower() == "json":
        records = {node.name: _record(engine, node, as_json=True) for node in nodes}
        session.reply(document(engine.now(), engine.config.server_name, "nodes", records, False))
    else:
        session.reply("".join(_text(engine, node) for node in nodes))


def _set_offline(engine: Engine, request: Request, nodes: list[Node], offline: bool) -> None:
    if not request.operator:
        raise Refused("pbsnodes: Unauthorized Request ", 159)
    for node in nodes:
        node.drained = offline
        if not offline:
            node.down, node.reason = False, "none"
    engine.reschedule()


def _here(engine: Engine, node: Node) -> list[Job]:
    return [job for job in engine.jobs.values() if job.holds_nodes and node.name in job.nodes]


def _used(engine: Engine, node: Node) -> tuple[int, int, int]:
    """CPUs, megabytes and GPUs that jobs hold of a node."""
    shares = [share for job in _here(engine, node) for share in job.shares if share.node == node.name]
    return sum(s.cpus for s in shares), sum(s.mem_mb for s in shares), sum(len(s.gpus) for s in shares)


def _state(engine: Engine, node: Node) -> str:
    words = [word for word, flag in (("down", node.down), ("offline", node.drained)) if flag]
    return ",".join(words) or ("job-busy" if _used(engine, node)[0] >= node.cpus else "free")


def _memory(node: Node) -> str:
    whole, rest = divmod(node.mem_mb, 1024)
    return f"{node.mem_mb}mb" if rest else f"{whole}gb"


def _record(engine: Engine, node: Node, as_json: bool) -> dict[str, Any]:
    cpus, memory, gpus = _used(engine, node)
    ids = [(job_id(engine, job), share.cpus) for job in _here(engine, node) for share in job.shares
           if share.node == node.name]  # fmt: skip
    # The text form has a slot for each CPU, JSON each job once.
    slots = [f"{name}/{slot}" for name, count in ids for slot in range(count)]
    jobs: Any = list(dict.fromkeys(name for name, _ in ids)) if as_json else ", ".join(slots)
    assigned: dict[str, Any] = {"mem": f"{memory * 1024}kb", "ncpus": cpus, "ngpus": gpus}
    if not as_json:
        assigned = {"accelerator_memory": "0kb", "hbmem": "0kb", "mem": f"{memory * 1024}kb",
                    "naccelerators": 0, "ncpus": cpus, "ngpus": gpus, "vmem": "0kb"}  # fmt: skip
    when: Any = int(engine.booted) if as_json else time.ctime(engine.booted)
    used: Any = (
        int(node.busy_since or engine.booted) if as_json else time.ctime(node.busy_since or engine.booted)
    )
    return {
        "Mom": node.name, "ntype": "PBS", "state": _state(engine, node), "pcpus": os.cpu_count() or 1,
        **({"jobs": jobs} if jobs else {}),
        "resources_available": {"arch": "linux", "host": node.name, "mem": _memory(node),
                                "ncpus": node.cpus, "ngpus": node.gpus, "vnode": node.name},
        "resources_assigned": assigned,
        **({"comment": DOWN} if node.down else {}),
        "resv_enable": "True", "sharing": "default_shared", "license": "l",
        "last_state_change_time": when, "last_used_time": used,
    }  # fmt: skip


def _text(engine: Engine, node: Node) -> str:
    lines = [f"     {name} = {value}" for name, value in flat(_record(engine, node, as_json=False))]
    return "\n".join([node.name, *lines, "", ""])


def _table(engine: Engine, nodes: list[Node], jobs: bool) -> str:
    if jobs:
        return JOBS + "".join(_jobs_line(engine, node) for node in nodes)
    lines = [
        f"{n.name:<15} {_state(engine, n):<15} {'--':<8} {'--':<8} {n.name:<15} {'--':<10} "
        f"{_memory(n):>8} {n.cpus:>7} {0:>7} {n.gpus:>7} {DOWN if n.down else '--'}\n"
        for n in nodes
    ]
    return SUMMARY + "".join(lines)


def _jobs_line(engine: Engine, node: Node) -> str:
    cpus, memory, gpus = _used(engine, node)
    here = _here(engine, node)
    free = f"{(node.mem_mb - memory) // 1024}gb/{node.mem_mb // 1024}gb"
    counts = f"{node.cpus - cpus}/{node.cpus}", "0/0", f"{node.gpus - gpus}/{node.gpus}"
    names = ",".join(str(sequence(job)) for job in here) or "--"
    return (
        f"{node.name:<15} {_state(engine, node):<15} {len(here):>6} {len(here):>5} {0:>6} {free:>12} "
        f"{counts[0]:>7} {counts[1]:>7} {counts[2]:>7} {names}\n"
    )
