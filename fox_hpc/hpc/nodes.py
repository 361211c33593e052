"""The nodes of a job, as its own first node is told of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from .slurm import expand_nodes


def job_nodes(environ: Mapping[str, str], read_file: Callable[[str], str]) -> list[str]:
    """Name the nodes of the job that this process runs in, each once, in the scheduler's order.

    The first is the one that the script runs on, except under LSF with CSM, whose launch node is not a
    node of the job (see `without_launch_node`). Ask once, on the first node, and hand the list on: other
    nodes may lack the variables, and two LSF variables may differ in their order.

    Args:
        read_file: gives a file's text; OSError if it cannot.

    Returns:
        [] outside of a job.

    Raises:
        UnreadableOutput: Slurm's list is none.
    """
    if "PBS_NODEFILE" in environ:
        return unique(read_file(environ["PBS_NODEFILE"]).split())
    if environ.get("LSB_MCPU_HOSTS", "").strip():
        return unique(read_counts(environ["LSB_MCPU_HOSTS"]))
    if environ.get("LSB_DJOB_HOSTFILE"):
        return unique(read_file(environ["LSB_DJOB_HOSTFILE"]).split())
    if environ.get("LSB_HOSTS", "").strip():
        return unique(environ["LSB_HOSTS"].split())
    return expand_nodes(environ.get("SLURM_JOB_NODELIST", ""))


def read_counts(text: str) -> list[str]:
    """Read hosts with their slots, as LSB_MCPU_HOSTS has them; the slots do not matter here.

    >>> read_counts("cn02 2 cn01 2 ")
    ['cn02', 'cn01']
    """
    return text.split()[::2]


def without_launch_node(mcpu_hosts: str) -> list[str]:
    """Drop CSM's launch node, which stands first in LSB_MCPU_HOSTS and has one slot and no GPU.

    >>> without_launch_node("batch2 1 h22n07 42 h22n08 42")
    ['h22n07', 'h22n08']
    """
    hosts, slots = mcpu_hosts.split()[::2], mcpu_hosts.split()[1::2]
    apart = len(hosts) > 1 and slots[:1] == ["1"] and "1" not in slots[1:]
    return unique(hosts[1:] if apart else hosts)


def expand_hosts(exec_host: str) -> list[str]:
    """Write out a job's hosts as a queue shows them, PBS's `exec_host` or LSF's EXEC_HOST.

    >>> expand_hosts("cn01/0*2+cn02/0*2"), expand_hosts("2*cn02:2*cn01"), expand_hosts("cn02:cn02:cn01")
    (['cn01', 'cn02'], ['cn02', 'cn01'], ['cn02', 'cn01'])
    """
    parts = re.split(r"[+:]", exec_host)
    return unique(re.sub(r"^\d+\*|/.*$", "", part.strip()) for part in parts if part.strip(" -"))


def unique(names: Iterable[str]) -> list[str]:
    """Keep the first of equal names: a node file has a line for each slot on some clusters."""
    return list(dict.fromkeys(names))
