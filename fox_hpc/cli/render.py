"""`fox-hpc render`: the exact script and command of each site's job; needs no scheduler."""

from __future__ import annotations

import click

from ..envs.hpc import HpcEnv
from ..errors import RecipeError
from ..hpc.executor import Submission
from . import options
from .load import Loaded, load
from .runs import json_line
from .submit import make_env


@click.command("render")
@click.argument("recipe")
@click.option("--site", metavar="NAME", help="This site only, e.g. site-1.")
@options.scheduler
@options.profile
@options.sites
@click.option("--workspace", metavar="DIR", help="Where run folders would be made; fox_runs by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each site and line.")
def command(
    recipe: str,
    site: str | None,
    scheduler: str | None,
    profile: str | None,
    sites: int | None,
    workspace: str | None,
    as_json: bool,
) -> int:
    """Print what `submit` would hand to the scheduler for RECIPE: the command line and the script.

    Nothing is started, written or asked, so that any machine will do. Only what is known when a run
    begins is made up: the run's id, and the address of its relay.
    """
    loaded = load(recipe)
    env = _batch_env(loaded, scheduler, sites, workspace, profile)
    count = env.num_clients or loaded.recipe.min_clients
    plans = dict(zip(loaded.recipe.site_names(count), env.plan(loaded.recipe), strict=True))
    if site is not None and site not in plans:
        raise RecipeError(f"{loaded.recipe.job_name} has no site {site!r}: {', '.join(plans)} are right")
    for name, submission in plans.items():
        if site in (None, name):
            click.echo(json_line(_fields(name, submission)) if as_json else _text(name, submission))
    return 0


def _batch_env(
    loaded: Loaded, scheduler: str | None, sites: int | None, workspace: str | None, profile: str | None
) -> HpcEnv:
    """Take the file's own env if that makes batch jobs, and nothing else was asked for."""
    asked = (scheduler, sites, workspace, profile) != (None, None, None, None)
    named = None if isinstance(loaded.env, HpcEnv) and not asked else "hpc"
    env = make_env(loaded, named, scheduler, sites, workspace, profile)
    assert isinstance(env, HpcEnv)
    return env


def _text(site: str, submission: Submission) -> str:
    return f"# {site}\n{submission}"


def _fields(site: str, submission: Submission) -> dict[str, object]:
    return {
        "site": site,
        "job_name": submission.plan.name,
        "command": submission.command,
        "script": submission.script,
        "folder": str(submission.plan.folder),
        "asks": submission.plan.config.as_mapping(),
    }
