"""What the answers of PBS and LSF on a login node mean for fox-hpc: checks, each one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import UnreadableOutput
from ..hpc.dialect import Answer
from ..hpc.pbs import VERSION, is_torque
from .checks import Check, Partition, check_partition, choose

PBS_NEEDED = ("qsub", "qstat", "qselect", "qdel")
PBS_VERSION = VERSION
PBS_QUEUES = ("qstat", "-Q", "-f")
PBS_NODES = ("pbsnodes", "-a")
PBS_SERVER = ("qstat", "-B", "-f")
#: Any job will do: one that nobody knows is no error.
PBS_HISTORY = ("qstat", "-x", "0")
LSF_NEEDED = ("bsub", "bjobs", "bkill", "bhosts")
LSF_VERSION = ("lsid",)
LSF_QUEUES = ("bqueues", "-w")
LSF_HOSTS = ("bhosts", "-w")
LSF_PARAMETERS = ("bparams",)

# pbsnodes(8), "state"; one node may have several, with commas.
_BROKEN = re.compile(r"down|offline|stale|unknown|unresolvable|sleep|initializing")


def check_pbs(paths: Mapping[str, str | None], version: Answer) -> Check:
    """Judge which commands of PBS are on PATH, and whose they are."""
    if missing := _missing(paths, "PBS"):
        return missing
    try:
        kind = "Torque" if is_torque(version) else "PBS"
    except UnreadableOutput as error:
        return Check("fail", "commands", str(error), "go to a login node of a cluster with OpenPBS or Torque")
    said = (version.stdout + version.stderr).strip().partition("\n")[0]
    return Check("ok", "commands", f"{kind}, {said}: {' '.join(PBS_NEEDED)}")


def check_lsf(paths: Mapping[str, str | None], version: Answer) -> Check:
    """Judge which commands of LSF are on PATH."""
    if missing := _missing(paths, "LSF"):
        return missing
    said = version.stdout.strip().partition("\n")[0] or "no version given"
    return Check("ok", "commands", f"{said}: {' '.join(LSF_NEEDED)}")


def _missing(paths: Mapping[str, str | None], title: str) -> Check | None:
    missing = [name for name, path in paths.items() if not path]
    advice = f"go to a login node of the cluster, or load its {title} module"
    return Check("fail", "commands", f"{', '.join(missing)} not on PATH", advice) if missing else None


def check_history(answer: Answer) -> Check:
    """Judge whether PBS remembers jobs that have ended."""
    if "not configured to maintain job history" in answer.stdout + answer.stderr:
        advice = "nothing is lost: the driver leaves its word. job_history_enable would tell why a job ended"
        return Check("warn", "history", "PBS forgets a job when it ends", advice)
    return Check("ok", "history", "ended jobs are remembered")


def read_pbs_queues(queues: Answer, nodes: Answer) -> list[Partition]:
    """Read `qstat -Q -f`; the nodes are those of the whole cluster, as a queue need not say which are its."""
    cluster = _pbs_nodes(nodes)
    found = []
    for block in re.split(r"^Queue:\s*", queues.stdout, flags=re.MULTILINE)[1:]:
        up = all(re.search(rf"^\s+{word} = True", block, re.MULTILINE) for word in ("enabled", "started"))
        limit = _value(block, "resources_max.walltime") or "infinite"
        found.append(replace(cluster, name=block.partition("\n")[0].strip(), up=up, limit=limit))
    return found


def _pbs_nodes(answer: Answer) -> Partition:
    blocks = [block for block in re.split(r"\n\s*\n", answer.stdout) if _value(block, "state")]
    first = blocks[0] if blocks else ""
    cpus = _value(first, "resources_available.ncpus") or _value(first, "np") or "?"
    memory = re.fullmatch(r"(\d+)([kmg])b", _value(first, "resources_available.mem"))
    scale = {"k": 1 / 1024, "m": 1.0, "g": 1024.0}
    mem_mb = f"{int(memory[1]) * scale[memory[2]]:.0f}" if memory else ""
    gpus = _value(first, "resources_available.ngpus")
    broken = sum(bool(_BROKEN.search(_value(block, "state"))) for block in blocks)
    gres = f"gpu:{gpus}" if gpus not in ("", "0") else ""
    return Partition("", False, True, "infinite", len(blocks), cpus, mem_mb, gres, broken)


def _value(block: str, name: str) -> str:
    match = re.search(rf"^\s+{re.escape(name)} = (.*)$", block, re.MULTILINE)
    return match[1].strip() if match else ""


def read_pbs_default(server: Answer) -> str:
    """Read `qstat -B -f`; "" if it does not tell which queue takes the jobs that name none."""
    return _value(server.stdout, "default_queue")


def read_lsf_queues(queues: Answer, hosts: Answer) -> list[Partition]:
    """Read `bqueues -w`; the hosts are those of the whole cluster, as a queue need not say which are its."""
    rows = [line.split() for line in hosts.stdout.splitlines()[1:] if line.strip()]
    broken = sum(bool(re.match(r"unavail|unreach|unlicensed|closed_Adm", row[1])) for row in rows)
    slots = rows[0][3] if rows and len(rows[0]) > 3 else "?"
    found = []
    for line in queues.stdout.splitlines()[1:]:
        name, _, status, *_ = [*line.split(), "", "", ""]
        if status:
            up = status == "Open:Active"
            found.append(Partition(name, False, up, "infinite", len(rows), slots, "", "", broken))
    return found


def read_lsf_default(parameters: Answer) -> str:
    """Read `bparams`; "" if it does not tell which queue takes the jobs that name none."""
    match = re.search(r"^Default Queues:\s*(\S+)", parameters.stdout, re.MULTILINE)
    return match[1] if match else ""


def with_default(queues: Iterable[Partition], default: str) -> list[Partition]:
    """Mark the queue that is taken where none is named."""
    return [replace(queue, default=queue.name == default) for queue in queues]


def check_queues(queues: Sequence[Partition], wanted: str | None, nodes: int, answer: Answer) -> Check:
    """Judge whether a job of so many nodes can run in the queue that was asked for."""
    names = ", ".join(queue.name for queue in queues if queue.up)
    if queues and not answer.problem and not queues[0].nodes:
        return Check("warn", "queues", names, "nobody tells here how many nodes there are: the job will")
    if wanted is None and queues and not answer.problem and choose(queues, None) is None:
        return _unnamed(names, queues[0], nodes)
    return check_partition(queues, wanted, nodes, answer, "queues")


def _unnamed(names: str, cluster: Partition, nodes: int) -> Check:
    """Judge the same where nobody tells which queue is the default one."""
    usable = cluster.nodes - cluster.broken
    found = f"the default one of {names or 'none that is open'}, {usable} nodes in use"
    if usable < nodes:
        advice = f"a job of {nodes} nodes waits until there are more: --nodes {max(usable, 1)}"
        return Check("warn", "queues", found, advice)
    return Check("ok", "queues", found)
