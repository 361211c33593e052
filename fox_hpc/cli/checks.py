"""What a login node's answers mean for fox-hpc: checks, each one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..hpc.dialect import Answer

Level = Literal["ok", "warn", "fail"]

#: Commands that a relay on Slurm runs, and those that it can do without.
NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
USEFUL = ("sacct",)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        found: what was found, in a few words.
        advice: what to do about it; "" if there is nothing to do.
    """

    level: Level
    name: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Partition:
    """One partition, as `sinfo` tells of it, or one queue of PBS or LSF.

    Args:
        mem_mb: of a node, "" if nobody told.
        limit: the longest time of a job, in Slurm's words (`1-00:00:00`, `infinite`).
        broken: how many of its nodes are down, drained or out of touch.
    """

    name: str
    default: bool
    up: bool
    limit: str
    nodes: int
    cpus: str
    mem_mb: str
    gres: str
    broken: int = 0

    def __str__(self) -> str:
        broken = f" ({self.broken} out of use)" if self.broken else ""
        size = f"{self.nodes} nodes{broken} of {self.cpus} CPUs"
        rest = [
            f"{self.mem_mb} MB" if self.mem_mb else "",
            self.gres,
            f"limit {self.limit}",
            "" if self.up else "down",
        ]
        return ", ".join([f"{self.name}{'*' if self.default else ''}: {size}", *filter(None, rest)])


#: Asks for what `read_partitions` reads: one line for each partition and kind of its nodes.
PARTITIONS = ("sinfo", "-h", "-o", "%P|%a|%l|%D|%c|%m|%G|%T")
# sinfo(1), NODE STATE CODES; a star behind any state says that the node does not answer.
_BROKEN = re.compile(r"down|drain|fail|maint|unknown|.*\*$")
VERSION = ("sbatch", "--version")
CONFIG = ("scontrol", "show", "config")
#: Any job will do: one that sacct does not know is no error.
ACCOUNTING = ("sacct", "-X", "-n", "-P", "-o", "JobIDRaw", "-j", "1")


def check_commands(paths: Mapping[str, str | None], version: Answer) -> Check:
    """Judge which commands are on PATH."""
    missing = [name for name in NEEDED if not paths.get(name)]
    if missing:
        return Check(
            "fail",
            "commands",
            f"{', '.join(missing)} not on PATH",
            "go to a login node of the cluster, or load its Slurm module",
        )
    said = version.stdout.strip() or "no version given"
    absent = [name for name in USEFUL if not paths.get(name)]
    if absent:
        found = f"{said}; {', '.join(absent)} not on PATH"
        return Check("warn", "commands", found, "jobs are watched by squeue alone")
    return Check("ok", "commands", f"{said}: {' '.join([*NEEDED, *USEFUL])}")


def check_accounting(sacct: Answer, remembers_s: int | None) -> Check:
    """Judge whether the accounting is a witness of jobs that the queue has forgotten."""
    if not sacct.problem:
        return Check("ok", "accounting", "sacct answers")
    memory = f"{remembers_s} s" if remembers_s is not None else "some minutes"
    advice = f"nothing is lost: squeue remembers ended jobs for {memory}, and the driver leaves its word"
    if "accounting storage is disabled" in sacct.stderr:
        return Check("warn", "accounting", "switched off at this site", advice)
    return Check("warn", "accounting", f"no answer: {_first_line(sacct.problem)}", advice)


def read_min_job_age(config: Answer) -> int | None:
    """Read from `scontrol show config` for how long squeue remembers an ended job, in seconds."""
    match = re.search(r"^MinJobAge\s*=\s*(\d+)", config.stdout, re.MULTILINE)
    return int(match[1]) if match else None


def read_partitions(answer: Answer) -> list[Partition]:
    """Read `sinfo`; a partition with several kinds of nodes is told by its first one, all nodes counted."""
    found: dict[str, Partition] = {}
    for line in answer.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 8 or not cells[3].isdigit():
            continue
        name, avail, limit, nodes, cpus, mem, gres, state = cells
        key = name.rstrip("*")
        gres = "" if gres == "(null)" else gres
        first = found.get(key) or Partition(key, name.endswith("*"), avail == "up", limit, 0, cpus, mem, gres)
        found[key] = replace(
            first,
            nodes=first.nodes + int(nodes),
            gres=first.gres or gres,
            broken=first.broken + (int(nodes) if _BROKEN.match(state) else 0),
        )
    return list(found.values())


def choose(partitions: Sequence[Partition], wanted: str | None) -> Partition | None:
    """Give the partition that a job would go to."""
    return next((each for each in partitions if (each.name == wanted if wanted else each.default)), None)


def check_partition(
    partitions: Sequence[Partition], wanted: str | None, nodes: int, answer: Answer, what: str = "partitions"
) -> Check:
    """Judge whether a job of so many nodes can run in the partition (or queue) that was asked for."""
    if answer.problem:
        return Check("fail", what, _first_line(answer.problem), "ask your cluster's staff")
    names = ", ".join(each.name for each in partitions) or "none"
    chosen = choose(partitions, wanted)
    if chosen is None and wanted is None:
        return Check("warn", what, f"no default among {names}", "name one with --partition")
    if chosen is None:
        return Check("fail", what, f"there is no {wanted!r}", f"{names} are right")
    if not chosen.up:
        return Check("fail", what, str(chosen), f"jobs in {chosen.name} pend: take another of {names}")
    if chosen.nodes < nodes:
        advice = f"no job of {nodes} nodes can run there: --nodes {chosen.nodes}, or another of {names}"
        return Check("fail", what, str(chosen), advice)
    if chosen.nodes - chosen.broken < nodes:
        advice = f"a job of {nodes} nodes waits until some are back: another of {names} may start it sooner"
        return Check("warn", what, str(chosen), advice)
    return Check("ok", what, str(chosen))


def check_addresses(hosts: Sequence[str]) -> Check:
    """Judge under which addresses a compute node may find this host."""
    reachable = [host for host in hosts if not host.startswith("127.") and host not in ("::1", "localhost")]
    if not reachable:
        return Check(
            "warn", "addresses", "loopback only", "no other host can call back: give this one an address"
        )
    return Check("ok", "addresses", ", ".join(reachable))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def worst(checks: Sequence[Check]) -> Level:
    """Give the worst level among checks."""
    levels = {check.level for check in checks}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"
