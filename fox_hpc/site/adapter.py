"""HpcWorkerAdapter: on each node, learns which node this is and becomes the launcher of its ranks.

`python -m fox_hpc.site.adapter MODULE|- [torchrun …]`; it replaces itself by that launcher.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..environment import process_environ
from . import launch_line


@dataclass(frozen=True)
class HpcWorkerAdapter:
    """One node of a job: what its ranks are told, and what starts them."""

    environ: Mapping[str, str]
    module: str | None
    inner: Sequence[str]

    def node(self) -> dict[str, str]:
        """Give FOX_NNODES, FOX_NODE_RANK, MASTER_* and, where a step's tasks are the ranks, RANK and so on.

        These are the names that torch.distributed reads, so that its `env://` works without torchrun.

        Source: srun(1), OUTPUT ENVIRONMENT VARIABLES.
        """
        environ = self.environ
        in_step = "SLURM_STEP_ID" in environ and "SLURM_PROCID" in environ
        node = {
            "FOX_NNODES": environ.get("FOX_NNODES", "1"),
            "FOX_NODE_RANK": environ.get("SLURM_NODEID", "0") if in_step else "0",
            "MASTER_ADDR": environ.get("MASTER_ADDR", "127.0.0.1"),
            "MASTER_PORT": environ.get("MASTER_PORT", "29500"),
        }
        if in_step and not self.inner:
            node |= {
                "RANK": environ["SLURM_PROCID"],
                "WORLD_SIZE": environ.get("SLURM_STEP_NUM_TASKS", environ.get("SLURM_NTASKS", "1")),
                "LOCAL_RANK": environ.get("SLURM_LOCALID", "0"),
            }
        return node

    def command(self) -> list[str]:
        """Give the command that starts this node's ranks."""
        return launch_line.rank_words(self.inner, sys.executable, self.module, self.node())


def main() -> None:
    """Become the launcher of this node's ranks."""
    module, *inner = sys.argv[1:]
    adapter = HpcWorkerAdapter(process_environ(), None if module == "-" else module, inner)
    command = adapter.command()
    try:
        os.execvpe(command[0], command, {**adapter.environ, **adapter.node()})
    except OSError as error:
        sys.exit(f"fox-hpc: cannot start {command[0]} on {os.uname().nodename}: {error.strerror}")


if __name__ == "__main__":
    main()
