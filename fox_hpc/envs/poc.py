"""PocEnv: server, relay and sites as processes on this machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..environment import process_environ
from ..errors import RecipeError
from ..hpc.resources import HpcConfig
from ..recipe import FoxRecipe
from ..spec import SiteSpec
from .base import ExecEnv, Run
from .deployment import Deployment, make_spec, new_folder

_LOOK_S = 0.5


class PocEnv(ExecEnv):
    """Runs each site as processes on this machine, over the same wire and code path as on a cluster.

    With `inprocess=True` a site is one process, which runs its functions. With `inprocess=False` it has the
    ranks that its `run_cmd` starts: torchrun, mpirun, python, or any program that runs the command behind
    its own words. A site whose processes die is lost at once, with the end of what they wrote; whichever
    process is killed, none of the run is left behind.
    """

    def deploy(self, recipe: FoxRecipe) -> Run:
        """Start the recipe in processes of this machine.

        Raises:
            RecipeError: a `run_cmd` names srun, or a program that is not here.
        """
        count = self.num_clients or recipe.min_clients
        for site in recipe.site_specs(count):
            _check_run_cmd(site)
        run, folder = new_folder(recipe, self.workspace)
        spec = make_spec(recipe, count, run=run, folder=folder, scheduler="local", poll_s=_LOOK_S)
        deployment = Deployment(recipe, spec, env_name="poc", environ=process_environ())
        if recipe.hpc_config != HpcConfig():
            deployment.controller.notice("PocEnv asks no scheduler for anything; hpc_config is not used")
        return self._started(deployment.start())


def _check_run_cmd(site: SiteSpec) -> None:
    program = "" if site.run_cmd is None else site.run_cmd.split()[0]
    if program == "srun":
        raise RecipeError(
            f"run_cmd={site.run_cmd!r} of {site.name}: PocEnv has no scheduler and no srun; "
            "HpcEnv has, and on a machine without a scheduler it brings a fake one"
        )
    # torchrun is run as a module, and what a variable stands for is known in the job only.
    known = not program or program == "torchrun" or "$" in program or "'" in program or '"' in program
    if not known and shutil.which(program) is None and not (Path(sys.executable).parent / program).exists():
        raise RecipeError(
            f"run_cmd={site.run_cmd!r} of {site.name}: there is no program {program}, neither in PATH nor "
            f"beside {sys.executable}"
        )
