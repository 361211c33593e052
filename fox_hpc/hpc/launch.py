"""How a command is started once on each node of a job, by whatever the scheduler has for that. Pure.

What a launcher hands to the other nodes differs: srun and jsrun the whole environment, pbsdsh and pbs_tmrsh
what the job was submitted with and nothing that its script exported, blaunch little that is documented. So
what is started is best a script that holds its own exports (`node_script`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RecipeError
from .script import export_line

# Where a node's number is found if the launcher starts all nodes with one command.
_NODE_NUMBERS = ("SLURM_NODEID", "JSM_NAMESPACE_RANK", "PALS_RANKID", "PMI_RANK", "OMPI_COMM_WORLD_RANK")


@dataclass(frozen=True)
class Start:
    """One command line, and where it starts its words.

    Args:
        nodes: the nodes on which it starts them, once on each.
        numbered: True if the node's number is its last word; else `node_script` finds it.
        tells: True if its exit code tells of a failure of what it has started.
    """

    argv: tuple[str, ...]
    nodes: tuple[str, ...]
    numbered: bool
    tells: bool = True


def start_on_nodes(
    launcher: str,
    nodes: Sequence[str],
    words: Sequence[str],
    *,
    cpus: int = 1,
    gpus: int = 0,
    torque: bool = False,
) -> list[Start]:
    """Give the commands that start `words` once on each node.

    Args:
        launcher: as in FOX_LAUNCHER, never "auto".
        nodes: names as the scheduler gives them (`job_nodes`), the first first.
        cpus: of one node.
        gpus: of one node.

    Raises:
        RecipeError: nobody knows that launcher.
    """
    if launcher in ("srun", "jsrun", "mpiexec"):
        argv = _ONE_FOR_ALL[launcher](len(nodes), cpus, gpus)
        return [Start((*argv, *words), tuple(nodes), numbered=False)]
    if launcher not in ("pbs_tmrsh", "pbsdsh", "blaunch"):
        raise RecipeError(
            f"launcher {launcher!r} is none of srun, pbs_tmrsh, pbsdsh, blaunch, jsrun, mpiexec"
        )
    starts = []
    for number, node in enumerate(nodes):
        argv = _one_for_each(launcher, number, node, torque=torque)
        # pbsdsh exits with 0 whatever becomes of its task.
        tells = launcher != "pbsdsh"
        starts.append(Start((*argv, *words, str(number)), (node,), numbered=True, tells=tells))
    return starts


def node_script(exports: Mapping[str, str], words: Sequence[str], folder: Path) -> str:
    """Give a script for a node: it sets `exports` and FOX_NODE_RANK and becomes `words`, in `folder`.

    Its first argument is the node's number, if the launcher does not tell it (see `Start.numbered`).
    """
    number = "0"
    for name in reversed(_NODE_NUMBERS):
        number = f"${{{name}:-{number}}}"
    return "\n".join(
        [
            "#!/bin/bash",
            *(export_line(name, value) for name, value in sorted(exports.items())),
            f'export FOX_NODE_RANK="${{1:-{number}}}"',
            f"cd {shlex.quote(str(folder))}",
            f"exec {shlex.join(words)}",
            "",
        ]
    )


def _srun(nodes: int, cpus: int, gpus: int) -> tuple[str, ...]:
    # srun(1): a bare one guesses, and takes the job's --ntasks-per-node for its own.
    counts = (f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}")
    return ("srun", *counts, "--kill-on-bad-exit=1", "--export=ALL")


def _jsrun(nodes: int, cpus: int, gpus: int) -> tuple[str, ...]:
    # jsrun(1): one resource set on each node, with what the job wants of the node, and one task in it.
    # bsub has no words for CPUs and GPUs where there is CSM, which gives whole nodes.
    return ("jsrun", "-n", f"{nodes}", "-r", "1", "-a", "1", "-c", f"{cpus}", "-g", f"{gpus}")


def _mpiexec(nodes: int, cpus: int, gpus: int) -> tuple[str, ...]:
    # As Hydra's, Intel's and Cray's take it; they ask the scheduler for the nodes.
    return ("mpiexec", "-n", f"{nodes}", "-ppn", "1")


_ONE_FOR_ALL = {"srun": _srun, "jsrun": _jsrun, "mpiexec": _mpiexec}


def _one_for_each(launcher: str, number: int, node: str, *, torque: bool) -> tuple[str, ...]:
    if launcher == "pbs_tmrsh":
        return ("pbs_tmrsh", node)
    if launcher == "blaunch":
        return ("blaunch", "-z", node)
    # Torque has a number for each CPU of a node. OpenPBS has one for each line of the node file, which are
    # the nodes, as our jobs ask for chunks without mpiprocs.
    return ("pbsdsh", "-h", node) if torque else ("pbsdsh", "-n", f"{number}", "--")
