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
    is_python = not inner or os.path.basename(inner[0]).startswith("python")  # noqa: PTH119 - a word, not a path
    return is_python and not _torchrun_options(inner)[0]


def _torchrun_options(inner: Sequence[str]) -> tuple[str, list[str]]:
    """Give torchrun, under whichever name it is called, and its options; "" if it is another program."""
    program = os.path.basename(inner[0]) if inner else ""  # noqa: PTH119
    if program == "torchrun":
        return "torchrun", list(inner[1:])
    if program.startswith("python") and list(inner[1:3]) == ["-m", "torch.distributed.run"]:
        return "torchrun", list(inner[3:])
    return "", []


def rank_words(inner: Sequence[str], python: str, module: str | None, node: Mapping[str, str]) -> list[str]:
    """Give the command that starts one node's ranks, with torchrun's rendezvous made explicit.

    `node` holds FOX_NNODES, FOX_NODE_RANK, MASTER_ADDR and MASTER_PORT. Any program that is not known is
    one that runs the command which follows its own words.
    """
    worker = ["-m", "fox_hpc.site.worker", *([module] if module else [])]
    if not inner:
        return [python, *worker]
    torchrun, options = _torchrun_options(inner)
    if not torchrun:
        return [*inner, *([] if is_rank_itself(inner) else [python]), *worker]
    flags = {} if _has(options, ("--standalone",)) else _rendezvous(options, node)
    extra = [f"{names[0]}={value}" for names, value in flags.items() if not _has(options, names)]
    # torchrun's own script may be out of PATH on a compute node; its module is where torch is.
    python = inner[0] if is_named_python(inner) else python
    return [python, "-m", "torch.distributed.run", *extra, *options, *worker]


def is_named_python(inner: Sequence[str]) -> bool:
    """Tell whether a command names its interpreter."""
    return os.path.basename(inner[0]).startswith("python")  # noqa: PTH119


def _rendezvous(options: Sequence[str], node: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Give the flags by which the nodes' torchruns meet, each with its spellings.

    Static, unless the user names another backend, so that global rank 0 is on the job's first node. With
    c10d any node may get it; there, the first node is told to hold the store, since a node may not see its
    own name as its own.

    Source: torch.distributed.run's documentation; C10dRendezvousBackend's `is_host`.
    """
    endpoint = ("--rdzv-endpoint", "--rdzv_endpoint")
    flags: dict[tuple[str, ...], str] = {("--nnodes",): node["FOX_NNODES"]}
    backend = _value(options, ("--rdzv-backend", "--rdzv_backend")) or "static"
    if backend == "static":
        return flags | {
            ("--rdzv-backend", "--rdzv_backend"): "static",
            ("--node-rank", "--node_rank"): node["FOX_NODE_RANK"],
            ("--master-addr", "--master_addr", *endpoint): node["MASTER_ADDR"],
            ("--master-port", "--master_port", *endpoint): node["MASTER_PORT"],
        }
    if _has(options, endpoint):
        return flags
    flags |= {endpoint: f"{node['MASTER_ADDR']}:{node['MASTER_PORT']}"}
    flags |= {("--rdzv-id", "--rdzv_id"): node["MASTER_PORT"]}
    if backend == "c10d":
        first = str(node["FOX_NODE_RANK"] == "0").lower()
        flags |= {("--rdzv-conf", "--rdzv_conf"): f"is_host={first}"}
    return flags


def _value(words: Sequence[str], names: Sequence[str]) -> str:
    """Give the value of an option, "" if it is not there."""
    for number, word in enumerate(words):
        for name in names:
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
            if word == name and number + 1 < len(words):
                return words[number + 1]
    return ""
