"""From `run_cmd` to what is executed: pure, on words.

`run_cmd` may begin with `srun`, which then starts one process on each node of the job, and may name
torchrun, mpirun or python. What it leaves out is added; what it says is left alone.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import RecipeError

_INNER = re.compile(r"^(torchrun|mpirun|mpiexec(\.\w+)?|python[\d.]*)$")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


@dataclass(frozen=True)
class LaunchLine:
    """A `run_cmd`, split: `step` starts a process on each node, `inner` the ranks of a node."""

    step: tuple[str, ...]
    inner: tuple[str, ...]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put variables in place, as a shell would.

    Raises:
        RecipeError: a variable is not set; a shell would silently put nothing there.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1).strip("{}")
        if name not in environ:
            raise RecipeError(f"run_cmd={text!r}: ${name} is not set on the job's first node")
        return environ[name]

    return _VARIABLE.sub(value, text)


def split(run_cmd: str | None, environ: Mapping[str, str]) -> LaunchLine:
    """Read a run_cmd; None means one rank, without any launcher."""
    try:
        words = shlex.split(expand(run_cmd or "", environ))
    except ValueError as error:
        raise RecipeError(f"run_cmd={run_cmd!r} cannot be split into words: {error}") from error
    if not words or os.path.basename(words[0]) != "srun":  # noqa: PTH119 - a word, not a path
        return LaunchLine((), tuple(words))
    for number, word in enumerate(words[1:], start=1):
        if _INNER.match(os.path.basename(word)):  # noqa: PTH119
            return LaunchLine(tuple(words[:number]), tuple(words[number:]))
    return LaunchLine(tuple(words), ())


def step_words(line: LaunchLine, environ: Mapping[str, str]) -> list[str]:
    """Complete an `srun`: every resource is said outright (a bare srun guesses, and guesses wrong).

    Left out by the user, a step gets one task on each node.
    Source: srun(1); `--cpus-per-task` is not inherited since 22.05.
    """
    if not line.step:
        return []
    nodes = environ.get("SLURM_NNODES", "1")
    cpus = int(nodes) * int(environ.get("SLURM_CPUS_PER_TASK", "1"))
    tasks = _tasks(line.step[1:], int(nodes))
    wanted = {
        ("--nodes", "-N"): nodes,
        ("--cpus-per-task", "-c"): str(max(1, cpus // tasks)),
        ("--kill-on-bad-exit", "-K"): "1",
        ("--export",): "ALL",
    }
    # The job has one task on each node, for torchrun; a step of more would inherit that one.
    wanted |= {("--ntasks", "-n"): str(tasks), ("--ntasks-per-node",): str(-(-tasks // int(nodes)))}
    extra = [f"{names[0]}={value}" for names, value in wanted.items() if not _has(line.step[1:], names)]
    return [*line.step, *extra]


def _tasks(words: Sequence[str], nodes: int) -> int:
    """Count the tasks that an `srun` asks for; one on each node if it does not say."""
    for names, times in ((("--ntasks", "-n"), 1), (("--ntasks-per-node",), nodes)):
        for number, word in enumerate(words):
            for name in names:
                glued = word.removeprefix(name).removeprefix("=") if word.startswith(name) else ""
                text = glued or (words[number + 1] if word == name and number + 1 < len(words) else "")
                if text.isdecimal() and int(text):
                    return int(text) * times
    return nodes


def _has(words: Sequence[str], names: Sequence[str]) -> bool:
    return any(
        word == name or word.startswith(f"{name}=") or (len(name) == 2 and word.startswith(name))
        for word in words
        for name in names
    )


def is_rank_itself(inner: Sequence[str]) -> bool:
    """Tell whether what a node starts is a rank, and no launcher of ranks."""
    return not inner or os.path.basename(inner[0]).startswith("python")  # noqa: PTH119 - a word, not a path


def rank_words(inner: Sequence[str], python: str, module: str | None, node: Mapping[str, str]) -> list[str]:
    """Give the command that starts one node's ranks, with torchrun's rendezvous made explicit.

    `node` holds FOX_NNODES, FOX_NODE_RANK, MASTER_ADDR and MASTER_PORT. The rendezvous is static, so
    that global rank 0 is on the job's first node (with c10d any node may get it).
    Source: torch.distributed.run's documentation.
    """
    worker = ["-m", "fox_hpc.site.worker", *([module] if module else [])]
    if not inner:
        return [python, *worker]
    program, *options = inner
    if os.path.basename(program) != "torchrun":  # noqa: PTH119
        return [program, *options, *([] if is_rank_itself(inner) else [python]), *worker]
    flags = {
        ("--nnodes",): node["FOX_NNODES"],
        ("--rdzv-backend", "--rdzv_backend"): "static",
        ("--node-rank", "--node_rank"): node["FOX_NODE_RANK"],
        ("--master-addr", "--master_addr", "--rdzv-endpoint", "--rdzv_endpoint"): node["MASTER_ADDR"],
        ("--master-port", "--master_port", "--rdzv-endpoint", "--rdzv_endpoint"): node["MASTER_PORT"],
    }
    if _has(options, ("--standalone",)):
        flags = {}
    extra = [f"{names[0]}={value}" for names, value in flags.items() if not _has(options, names)]
    # torchrun's own script may be out of PATH on a compute node; its module is where torch is.
    return [python, "-m", "torch.distributed.run", *extra, *options, *worker]
