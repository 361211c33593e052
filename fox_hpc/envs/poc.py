"""PocEnv: server, relay and sites as processes on this machine."""

from __future__ import annotations

from ..environment import process_environ
from ..errors import RecipeError
from ..hpc.resources import HpcConfig
from ..recipe import FoxRecipe
from .base import ExecEnv, Run
from .deployment import Deployment, make_spec, new_folder

_LOOK_S = 0.5


class PocEnv(ExecEnv):
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
