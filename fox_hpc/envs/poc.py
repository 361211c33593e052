"""PocEnv: server, relay and sites as processes on this machine."""

from __future__ import annotations

import os

from ..environment import process_environ
from ..errors import RecipeError
from ..hpc.resources import HpcConfig
from ..recipe import FoxRecipe
from .base import ExecEnv, Run
from .deployment import Deployment, make_spec, new_folder

_LOOK_S = 0.5


class ProcessEnv(ExecEnv):
    """What PocEnv and HpcEnv share: how many sites, where runs are kept, which runs there are.

    Args:
        num_clients: how many sites there are; the recipe's `min_clients` by default.
        workspace: the folder that run folders are made in, `fox_runs` by default; on a disk that the
            compute nodes see.
    """

    def __init__(
        self, num_clients: int | None = None, workspace: str | os.PathLike[str] | None = None
    ) -> None:
        if num_clients is not None and (isinstance(num_clients, bool) or num_clients < 1):
            raise RecipeError(f"num_clients={num_clients!r}: a whole number from 1 on is right")
        self.num_clients, self.workspace = num_clients, workspace
        self._runs: list[Run] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.num_clients or 'min_clients'} sites>"

    def stop(self) -> None:
        """Cancel the runs of this environment and wait until they have ended."""
        for run in self._runs:
            run.cancel()
        for run in self._runs:
            run.wait()

    def _started(self, run: Run) -> Run:
        self._runs = [one for one in self._runs if not one.wait(0)]
        self._runs.append(run)
        return run


class PocEnv(ProcessEnv):
    """Runs each site as processes on this machine, over the same wire and code path as on a cluster."""

    def deploy(self, recipe: FoxRecipe) -> Run:
        """Start the recipe in processes of this machine."""
        count = self.num_clients or recipe.min_clients
        for site in recipe.site_specs(count):
            if site.run_cmd is not None and site.run_cmd.split()[0] == "srun":
                raise RecipeError(
                    f"run_cmd={site.run_cmd!r} of {site.name}: PocEnv has no scheduler and no srun; "
                    "HpcEnv has, and on a machine without a scheduler it brings a fake one"
                )
        run, folder = new_folder(recipe, self.workspace)
        spec = make_spec(recipe, count, run=run, folder=folder, scheduler="local", poll_s=_LOOK_S)
        deployment = Deployment(recipe, spec, env_name="poc", environ=process_environ())
        if recipe.hpc_config != HpcConfig():
            deployment.controller.notice("PocEnv asks no scheduler for anything; hpc_config is not used")
        return self._started(deployment.start())
