"""HpcEnv: each site's share as a batch job."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..environment import WorkerEnv, process_environ
from ..errors import RecipeError, SchedulerError
from ..fake import FakeCluster
from ..hpc.dialect import Submission
from ..hpc.executor import make_executor, render
from ..hpc.resources import SCHEDULERS, HpcConfig
from ..recipe import FoxRecipe
from ..site.launcher import plan_job
from ..spec import OwnerSpec, RelaySpec, RunSpec, SiteSpec
from .base import ExecEnv, Run
from .deployment import Deployment, make_spec, new_folder

REAL = ("slurm", "pbs", "lsf")
FAKE_NOTICE = "no scheduler answers here: using the local fake Slurm, on this machine only"
#: Between two looks at the queue in steady state: a real scheduler is shared with others.
_POLL_S, _FAKE_POLL_S = 30.0, 1.0


class HpcEnv(ExecEnv):
    """Runs each site as a batch job, watched by a relay process on this (login) node.

    Args:
        num_clients: how many sites there are; the recipe's `min_clients` by default.
        scheduler: one of SCHEDULERS; "auto" takes what the recipe's hpc_config names, else the first of
            Slurm, PBS and LSF that answers here, else the fake Slurm.
        workspace: the folder that run folders are made in, `fox_runs` by default; on a disk that the
            compute nodes see.
        poll_s: seconds between two looks at the queue in steady state; 30 by default, 1 on the fake.
        fake: options of the fake cluster, e.g. `{"nodes": 2, "cpus": 8}`.
        profile: keys of hpc_config that hold where a recipe does not say them itself; what is the same
            for all jobs on one cluster. `hpc.profile.load_profile` reads them from a file.
        relay: where the relay listens for its workers.
        owner: props and filters that hold on this cluster whatever a recipe says.
        blob_location: a folder that this process and the compute nodes see. What is too big for a message is
            put there, sealed, instead of sent over the network; what a node does not see there is sent.

    Raises:
        RecipeError: the scheduler is none of these, or `fake` is given for a real one.
    """

    def __init__(
        self,
        num_clients: int | None = None,
        scheduler: str = "auto",
        workspace: str | os.PathLike[str] | None = None,
        *,
        poll_s: float | None = None,
        fake: dict[str, Any] | None = None,
        profile: Mapping[str, Any] | None = None,
        relay: RelaySpec | None = None,
        owner: OwnerSpec | None = None,
        blob_location: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(num_clients, workspace)
        if scheduler not in SCHEDULERS:
            raise RecipeError(f"scheduler={scheduler!r}: {', '.join(SCHEDULERS)} are right")
        if fake and scheduler in REAL:
            raise RecipeError(f"fake= describes the fake cluster; with scheduler={scheduler!r} there is none")
        self.scheduler, self.poll_s, self.fake = scheduler, poll_s, dict(fake or {})
        self.relay, self.owner = relay or RelaySpec(), owner or OwnerSpec()
        self.blob_location = "" if blob_location is None else str(Path(blob_location).resolve())
        self.profile = HpcConfig.from_mapping(profile or {}, "profile")

    def deploy(self, recipe: FoxRecipe) -> Run:
        """Submit the recipe's sites as jobs.

        Raises:
            SchedulerError: the scheduler that was asked for is not on PATH.
        """
        scheduler = self._choose(recipe)
        _check(self._spec(recipe, scheduler, "", "").sites)
        run, folder = new_folder(recipe, self.workspace)
        spec = self._spec(recipe, scheduler, run, folder)
        fake = None
        for site in spec.sites:
            # What its dialect refuses is said before anything is started.
            render(plan_job(spec, site.name, _example(spec, site.name)), scheduler)
        if scheduler not in REAL:
            # Any account or QOS that the recipe names for its real cluster is known to the fake one.
            options = {"nodes": 4, "accounts": (), "qos": (), **self.fake}
            dialect = scheduler.removeprefix("fake-")
            fake = FakeCluster(dialect, **options, folder=Path(folder) / "fake")
        deployment = Deployment(recipe, spec, env_name="hpc", environ=process_environ(), fake=fake)
        if fake is not None and self._wanted(recipe) == "auto":
            deployment.controller.notice(FAKE_NOTICE)
        return self._started(deployment.start())

    def plan(self, recipe: FoxRecipe) -> list[Submission]:
        """Say what `deploy` would submit, site by site; needs no scheduler and starts nothing."""
        wanted = self._wanted(recipe)
        scheduler = "slurm" if wanted == "auto" else wanted
        folder = str(Path(self.workspace or "fox_runs").resolve() / f"{recipe.job_name}-RUN")
        spec = self._spec(recipe, scheduler, f"{recipe.job_name}-RUN", folder)
        _check(spec.sites)
        plans = [plan_job(spec, site.name, _example(spec, site.name)) for site in spec.sites]
        return [render(plan, scheduler) for plan in plans]

    def share(
        self, recipe: FoxRecipe, site: str, *, run: str, sites: Sequence[str], min_clients: int, folder: str
    ) -> RunSpec:
        """Describe one site's share of a run that a server elsewhere has begun.

        Args:
            sites: the names of all sites of the run.
            folder: where this site keeps what it has of the run.

        Raises:
            RecipeError: the site's job cannot be rendered for its scheduler.
            SchedulerError: the scheduler that was asked for is not on PATH, or none is and nobody asked for
                a fake.
        """
        scheduler = self._choose(recipe)
        if scheduler not in REAL and self._wanted(recipe) == "auto":
            raise SchedulerError(
                "no scheduler answers here: this is no login node of a cluster; scheduler='local' or "
                "'fake-slurm' would run the site's share on this machine"
            )
        spec = self._spec(recipe, scheduler, run, folder, sites)
        spec = msgspec.structs.replace(
            spec, sites=(spec.site(site),), all_sites=tuple(sites), min_clients=min_clients
        )
        _check(spec.sites)
        render(plan_job(spec, site, _example(spec, site)), scheduler)
        return spec

    def _spec(
        self, recipe: FoxRecipe, scheduler: str, run: str, folder: str, names: Sequence[str] = ()
    ) -> RunSpec:
        count = len(names) or self.num_clients or recipe.min_clients
        usual_s = _POLL_S if scheduler in REAL else _FAKE_POLL_S
        poll_s = self.poll_s if self.poll_s is not None else usual_s
        spec = make_spec(
            recipe, count, run=run, folder=folder, scheduler=scheduler, poll_s=poll_s, names=names
        )
        # A recipe's word goes before the profile's, a site's own before both.
        sites = (msgspec.structs.replace(site, hpc=self._asks(recipe, site)) for site in spec.sites)
        return msgspec.structs.replace(
            spec,
            sites=tuple(sites),
            relay=self.relay,
            owner=self.owner,
            # A folder for the run alone: whatever a killed process leaves there ends with the run.
            blob_location=self.blob_location and str(Path(self.blob_location) / run),
        )

    def _asks(self, recipe: FoxRecipe, site: SiteSpec) -> dict[str, Any]:
        # The words themselves, not the configs made of them: a default that is spelled out wins as well.
        own = recipe.sites.get(site.name, {}).get("hpc_config", {})
        return self.profile.merged(recipe.hpc_said).merged(own).as_mapping()

    def _wanted(self, recipe: FoxRecipe) -> str:
        if self.scheduler != "auto":
            return self.scheduler
        return str(recipe.hpc_said.get("scheduler", self.profile.scheduler))

    def _choose(self, recipe: FoxRecipe) -> str:
        wanted = self._wanted(recipe)
        if wanted.startswith("fake-"):
            return wanted
        environ = process_environ()
        if wanted == "auto":
            answers = (name for name in REAL if not make_executor(name, environ).check())
            return next(answers, "fake-slurm")
        if why_not := make_executor(wanted, environ).check():
            raise SchedulerError(
                f"scheduler={wanted!r} cannot be used: {why_not}; log in to the cluster's login node, "
                f"or take scheduler='fake-{wanted}'"
            )
        return wanted


def _check(sites: Sequence[SiteSpec]) -> None:
    for site in sites:
        nodes = site.hpc.get("nodes_per_client", 1)
        first = (site.run_cmd or "").split()[:1]
        if nodes > 1 and first != ["srun"]:
            raise RecipeError(
                f"{site.name} asks for nodes_per_client={nodes}, but run_cmd={site.run_cmd!r} starts "
                "ranks on one node: 'srun torchrun --nproc_per_node=2 --nnodes=$SLURM_NNODES' is right"
            )


def _example(spec: RunSpec, site: str) -> WorkerEnv:
    return WorkerEnv(
        parent_urls=("tcp://LOGIN-NODE:PORT",),
        parent_fqcn=f"{site}.app",
        site_name=site,
        client_class=spec.client_class,
        run_dir=spec.folder,
        keys_dir=f"{spec.folder}/sites/{site}/attempt-1/keys",
    )
