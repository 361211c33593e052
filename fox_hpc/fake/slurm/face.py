"""Slurm's programs over the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Config, Job
from fox_hpc.fake.manners import Manners
from fox_hpc.fake.request import Request, Session
from fox_hpc.fake.slurm.environ import batch_environment
from fox_hpc.fake.slurm.patterns import expand_pattern, job_values
from fox_hpc.fake.slurm.sacct import sacct
from fox_hpc.fake.slurm.sbatch import sbatch
from fox_hpc.fake.slurm.scancel import scancel
from fox_hpc.fake.slurm.scontrol import scontrol
from fox_hpc.fake.slurm.sinfo import sinfo
from fox_hpc.fake.slurm.squeue import squeue
from fox_hpc.fake.slurm.srun import srun

Program = Callable[[Engine, Request, Session], None]


class SlurmFace:
    """What the controller and the runner need to know of the dialect."""

    engine = Engine
    manners = Manners()
    programs: Mapping[str, Program] = {
        "sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scancel": scancel, "srun": srun,
        "scontrol": scontrol, "sinfo": sinfo,
    }  # fmt: skip

    def __init__(self, config: Config, folder: Path) -> None:
        self._config, self._folder = config, folder

    def environ(self, job: Job) -> dict[str, str]:
        """Give the environment of a batch script."""
        return batch_environment(self._config, self._folder, job)

    def file_name(self, job: Job, pattern: str) -> str:
        """Give the file that `%j` and its like mean."""
        return expand_pattern(pattern, job_values(job))
