"""The variables that reach the ranks: the one place that writes and reads FOX_*."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import RecipeError

#: Variables of an enclosing job that must not leak into a submission or a step.
SCHEDULER_PREFIXES = ("SLURM_", "SBATCH_", "SRUN_", "PBS_", "LSB_", "LSF_")
#: … except those that say which cluster to talk to.
KEPT = frozenset(
    {
        "FOX_FAKE_SPOOL",
        "SLURM_CONF",
        "SLURM_CLUSTERS",
        "PBS_CONF_FILE",
        "PBS_SERVER",
        "LSF_ENVDIR",
        "LSF_BINDIR",
        "LSF_SERVERDIR",
    }
)


@dataclass(frozen=True)
class WorkerEnv:
    """What a job's processes are told through FOX_* variables; nothing secret.

    Args:
        parent_urls: addresses of the relay, best first (FOX_PARENT_URL, joined by blanks).
        parent_fqcn: the relay's cell, e.g. `site-1.app` (FOX_PARENT_FQCN).
        worker_id: the worker's number within the site (FOX_WORKER_ID).
        client_class: decides the mode; "FoxClientAPI" runs a script (FOX_CLIENT_CLASS).
        attempt: counts submissions of this site's job from 1 (FOX_ATTEMPT).
        soft_deadline: clock time by which the ranks should stop by themselves, None if there is no time
            limit (FOX_SOFT_DEADLINE, set by the driver).
        job_id: the scheduler's, or the driver's process id (FOX_JOB_ID, set by the driver).
    """

    parent_urls: tuple[str, ...]
    parent_fqcn: str
    site_name: str
    client_class: str
    run_dir: str
    keys_dir: str
    attempt: int = 1
    worker_id: str = "0"
    soft_deadline: float | None = None
    job_id: str = ""

    def exports(self) -> dict[str, str]:
        """Give the variables, sorted by name."""
        return {
            "FOX_ATTEMPT": str(self.attempt),
            "FOX_CLIENT_CLASS": self.client_class,
            "FOX_KEYS_DIR": self.keys_dir,
            "FOX_PARENT_FQCN": self.parent_fqcn,
            "FOX_PARENT_URL": " ".join(self.parent_urls),
            "FOX_RUN_DIR": self.run_dir,
            "FOX_SITE_NAME": self.site_name,
            "FOX_WORKER_ID": self.worker_id,
        }

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> WorkerEnv:
        """Read them back.

        Raises:
            RecipeError: a variable is missing: the process was not started by fox-hpc.
        """
        try:
            return cls(
                parent_urls=tuple(environ["FOX_PARENT_URL"].split()),
                parent_fqcn=environ["FOX_PARENT_FQCN"],
                site_name=environ["FOX_SITE_NAME"],
                client_class=environ["FOX_CLIENT_CLASS"],
                run_dir=environ["FOX_RUN_DIR"],
                keys_dir=environ["FOX_KEYS_DIR"],
                attempt=int(environ["FOX_ATTEMPT"]),
                worker_id=environ.get("FOX_WORKER_ID", "0"),
                soft_deadline=float(environ["FOX_SOFT_DEADLINE"]) if "FOX_SOFT_DEADLINE" in environ else None,
                job_id=environ.get("FOX_JOB_ID", ""),
            )
        except KeyError as missing:
            raise RecipeError(
                f"{missing.args[0]} is not set: a worker is started by its site's job, not by hand"
            ) from missing


@dataclass(frozen=True)
class RankEnv:
    """Where this process stands among the ranks of its site."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> RankEnv:
        """Ask the variables that torchrun, and a plain `srun`, set for us, then MPI's.

        Sources: torch.distributed.run's documentation; Open MPI's FAQ "environmental variables"; the PMI-1
        client of MPICH's Hydra, which Intel MPI has too; MVAPICH's user guide.
        """
        for rank, world, local in _RANK_NAMES:
            if rank in environ and world in environ:
                return cls(int(environ[rank]), int(environ[world]), int(environ.get(local, "0")))
        return cls()

    def exports(self) -> dict[str, str]:
        """Give the variables that torch.distributed's `env://` reads."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(self.local_rank),
        }


_RANK_NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)
#: What one process among ranks was told of its place; another one's place is another.
_PLACES = frozenset({name for names in _RANK_NAMES for name in names})
_PLACES |= {"LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE"}
_PLACES |= {"MASTER_ADDR", "MASTER_PORT", "PMI_FD", "PMI_PORT", "PMI_ID", "PMIX_RANK", "PMIX_NAMESPACE"}
_LOCAL_SIZES = (
    "LOCAL_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
)
_JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


def started_by_mpi(environ: Mapping[str, str]) -> bool:
    """Tell whether an MPI's launcher has started this process."""
    return any(rank in environ for rank, *_ in _RANK_NAMES[1:])


def local_size_of(environ: Mapping[str, str]) -> int | None:
    """Give how many ranks this node has, None if the launcher does not say."""
    return next((int(environ[name]) for name in _LOCAL_SIZES if name in environ), None)


def set_unset(values: Mapping[str, str]) -> None:
    """Set variables of this process that are not set: what the user has set wins."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def job_id_of(environ: Mapping[str, str]) -> str:
    """Give the id of the batch job that this process runs in, "" outside of one."""
    return next((environ[name] for name in _JOB_IDS if environ.get(name)), "")


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment without what an enclosing job would leak into a new one."""
    return {
        name: value
        for name, value in environ.items()
        if name in KEPT
        or not (
            name in _PLACES or name.startswith((*SCHEDULER_PREFIXES, "FOX_", "SUBMITIT_", "TORCHELASTIC_"))
        )
    }


def process_environ() -> dict[str, str]:
    """Copy this process's environment."""
    return dict(os.environ)


@dataclass(frozen=True)
class TrackingEnv:
    """What the server's environment says of where tracked values go; "" where it says nothing."""

    mlflow_uri: str = ""
    mlflow_experiment: str = ""
    wandb_mode: str = ""
    wandb_project: str = ""
    wandb_entity: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> TrackingEnv:
        """Read the variables of MLflow and W&B that our receivers go by; others they read themselves."""
        return cls(
            mlflow_uri=environ.get("MLFLOW_TRACKING_URI", ""),
            mlflow_experiment=environ.get("MLFLOW_EXPERIMENT_NAME", ""),
            wandb_mode=environ.get("WANDB_MODE", ""),
            wandb_project=environ.get("WANDB_PROJECT", ""),
            wandb_entity=environ.get("WANDB_ENTITY", ""),
        )
