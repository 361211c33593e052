"""sinfo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress, expand
from fox_hpc.fake.jobs import Node, Queue
from fox_hpc.fake.request import Request, Session
from fox_hpc.fake.slurm.columns import Field, render
from fox_hpc.fake.slurm.json_out import sinfo_json
from fox_hpc.fake.slurm.options import SINFO, parse
from fox_hpc.fake.slurm.show import node_state, node_use
from fox_hpc.fake.slurm.times import short_length

DEFAULT = "%9P %.5a %.10l %.6D %.6t %N"
SHORT = {"planned": "plnd", "mixed": "mix", "allocated": "alloc", "completing": "comp", "drained": "drain",
         "draining": "drng"}  # fmt: skip
ORDER = ("down", "completing", "drained", "draining", "planned", "mixed", "allocated", "idle")


@dataclass(frozen=True)
class Row:
    engine: Engine
    queue: Queue
    state: str
    nodes: Sequence[Node]

    def use(self) -> str:
        used = sum(node_use(self.engine, node)[0] for node in self.nodes)
        total = sum(node.cpus for node in self.nodes)
        lost = total - used if self.state.startswith(("down", "drain")) else 0
        return f"{used}/{total - used - lost}/{lost}/{total}"


FIELDS: dict[str, Field[Row]] = {
    "P": Field("PARTITION", lambda r: r.queue.name + ("*" if r.queue.default else "")),
    "R": Field("PARTITION", lambda r: r.queue.name),
    "a": Field("AVAIL", lambda r: "up" if r.queue.up else "down"),
    "l": Field("TIMELIMIT", lambda r: short_length(r.queue.max_time_s) if r.queue.max_time_s else "infinite"),
    "D": Field("NODES", lambda r: str(len(r.nodes))),
    "T": Field("STATE", lambda r: r.state),
    "t": Field("STATE", lambda r: SHORT.get(r.state, r.state)),
    "N": Field("NODELIST", lambda r: compress(node.name for node in r.nodes)),
    "n": Field("HOSTNAMES", lambda r: compress(node.name for node in r.nodes)),
    "c": Field("CPUS", lambda r: str(r.nodes[0].cpus if r.nodes else 0)),
    "m": Field("MEMORY", lambda r: str(r.nodes[0].mem_mb if r.nodes else 0)),
    "G": Field("GRES", lambda r: f"gpu:{r.nodes[0].gpus}" if r.nodes and r.nodes[0].gpus else "(null)"),
    "E": Field("REASON", lambda r: r.nodes[0].reason if r.nodes else "none"),
    "C": Field("CPUS(A/I/O/T)", lambda r: r.use()),
    "f": Field("AVAIL_FEATURES", lambda r: ",".join(r.engine.config.features) or "(null)"),
}


def sinfo(engine: Engine, request: Request, session: Session) -> None:
    """List partitions and nodes."""
    options, _ = parse(SINFO, request.argv, mixed=True)
    if "json" in options:
        session.reply(sinfo_json(engine))
        return
    rows = _by_node(engine, options) if "Node" in options else _by_state(engine, options)
    text = options.get("format") or request.env.get("SINFO_FORMAT") or (
        "%N %.6D %.9P %6t" if "Node" in options else DEFAULT)  # fmt: skip
    session.reply(render(text, FIELDS, rows, "noheader" not in options))


def _queues(engine: Engine, options: dict[str, str]) -> list[Queue]:
    names = options.get("partition")
    return [queue for queue in engine.queues.values() if names is None or queue.name in names.split(",")]


def _nodes(engine: Engine, options: dict[str, str]) -> list[Node]:
    names = expand(options["nodes"]) if options.get("nodes") else list(engine.nodes)
    states = options.get("states", "").lower().split(",") if options.get("states") else None
    found = [engine.nodes[name] for name in names if name in engine.nodes]
    if states is None:
        return found
    return [
        node for node in found
        for state in [node_state(engine, node)]
        if state in states or SHORT.get(state) in states
    ]  # fmt: skip


def _by_node(engine: Engine, options: dict[str, str]) -> list[Row]:
    nodes = _nodes(engine, options)
    queues = _queues(engine, options)
    return [Row(engine, queue, node_state(engine, node), [node]) for node in nodes for queue in queues]


def _by_state(engine: Engine, options: dict[str, str]) -> list[Row]:
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in _nodes(engine, options):
        reason = node.reason if "%E" in options.get("format", "") else ""
        groups.setdefault((node_state(engine, node), reason), []).append(node)
    ordered = sorted(groups.items(), key=lambda item: ORDER.index(item[0][0]))
    return [
        Row(engine, queue, state, nodes)
        for queue in _queues(engine, options)
        for (state, _), nodes in ordered
    ]
