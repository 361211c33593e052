"""HpcWorkerAdapter: on each node, learns which node this is, starts its ranks, and tells how they ended.

`python -m fox_hpc.site.adapter [--with-owner] MODULE|- [torchrun …]`.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import WorkerEnv, process_environ
from . import launch_line
from .exit_codes import EXIT_NO_START
from .lifeline import Lifelines
from .processes import adopt_orphans, end_tree, end_with_children, when_owner_dies
from .words import ENDING_SIGNALS, Ended, leave_word


@dataclass(frozen=True)
class HpcWorkerAdapter:
    """One node of a job: what its ranks are told, and what starts them."""

    environ: Mapping[str, str]
    module: str | None
    inner: Sequence[str]

    def node(self) -> dict[str, str]:
        """Give FOX_NNODES, FOX_NODE_RANK, MASTER_* and, where nothing else numbers the ranks, RANK and so on.

        A step's tasks are then the ranks; launchers other than srun start one on each node.

        These are the names that torch.distributed reads, so that its `env://` works without torchrun.

        Source: srun(1), OUTPUT ENVIRONMENT VARIABLES.
        """
        environ = self.environ
        in_step = "SLURM_STEP_ID" in environ and "SLURM_PROCID" in environ
        number = environ.get("SLURM_NODEID", "0") if in_step else "0"
        node = {
            "FOX_NNODES": environ.get("FOX_NNODES", "1"),
            "FOX_NODE_RANK": environ.get("FOX_NODE_RANK", number),
            "MASTER_ADDR": environ.get("MASTER_ADDR", "127.0.0.1"),
            "MASTER_PORT": environ.get("MASTER_PORT", "29500"),
        }
        return node | self._rank(node, in_step=in_step)

    def _rank(self, node: Mapping[str, str], *, in_step: bool) -> dict[str, str]:
        """Give this process's place among the ranks, where no further launcher makes them."""
        environ = self.environ
        if not launch_line.is_rank_itself(self.inner):
            return {}
        if in_step:
            return {
                "RANK": environ["SLURM_PROCID"],
                "WORLD_SIZE": environ.get("SLURM_STEP_NUM_TASKS", environ.get("SLURM_NTASKS", "1")),
                "LOCAL_RANK": environ.get("SLURM_LOCALID", "0"),
            }
        if node["FOX_NNODES"] == "1":
            return {}
        return {"RANK": node["FOX_NODE_RANK"], "WORLD_SIZE": node["FOX_NNODES"], "LOCAL_RANK": "0"}

    def command(self) -> list[str]:
        """Give the command that starts this node's ranks."""
        words = launch_line.rank_words(self.inner, sys.executable, self.module, self.node())
        # An environment that is not activated is not in PATH, and its mpirun is the one of its mpi4py.
        beside = Path(sys.executable).parent / words[0]
        return [str(beside), *words[1:]] if shutil.which(words[0]) is None and beside.exists() else words

    def run(self) -> int:
        """Start this node's ranks, wait for them, and leave word of how they ended."""
        command, told, lines = self.command(), threading.Event(), Lifelines()
        node, children = self.node(), list[subprocess.Popen[bytes]]()

        def end(*_: object) -> None:
            told.set()
            for child in children:
                child.terminate()

        # The ranks stay deaf to a scheduler's warning, which would kill them: the driver hears it, and tells.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        # Before the ranks start: an order to end may come as soon as they are there.
        for signum in ENDING_SIGNALS:
            signal.signal(signum, end)
        adopt_orphans()
        try:
            environ = {**self.environ, **node, **lines.exports()}
            children.append(subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL))
        except OSError as error:
            _say(f"cannot start {command[0]} on {os.uname().nodename}: {error.strerror}")
            return EXIT_NO_START
        if told.is_set():
            end()
        code = children[0].wait()
        # What made the ranks may have been killed, and they be left.
        end_tree(os.getpid(), itself=False)
        code = code if code >= 0 else 128 - code
        if code and not told.is_set() and (rank := lines.first_lost()):
            _say(f"rank {rank} on {os.uname().nodename} was killed or crashed, before any other of its node")
        self._leave_word(node, Ended(code, os.uname().nodename, time.time(), told.is_set()))
        return code

    def _leave_word(self, node: Mapping[str, str], word: Ended) -> None:
        worker = WorkerEnv.read(self.environ)
        folder = Path(worker.run_dir) / "sites" / worker.site_name / f"attempt-{worker.attempt}"
        # Where the tasks of a step are the ranks, each has an adapter of its own.
        name = f"node-{node['FOX_NODE_RANK']}-{node.get('RANK', '0')}"
        leave_word(folder, name, word)


def _say(words: str) -> None:
    print(f"fox-hpc: {words}", file=sys.stderr)  # noqa: T201 - this is the job's stderr


def main() -> None:
    """Start this node's ranks."""
    words = sys.argv[1:]
    if words[0] == "--with-owner":
        when_owner_dies(end_with_children)
        del words[0]
    module, *inner = words
    adapter = HpcWorkerAdapter(process_environ(), None if module == "-" else module, inner)
    sys.exit(adapter.run())


if __name__ == "__main__":
    gc.freeze()  # see worker
    main()
