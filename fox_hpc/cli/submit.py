"""`fox-hpc submit`: run a recipe and watch it until it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from ..envs.base import ExecEnv, Run
from ..errors import RunCancelled
from ..recipe import FoxRecipe
from . import options
from .detach import start_detached
from .ending import Ending, save_ending
from .load import Loaded, load
from .report import exit_code, say
from .runs import json_line, outcome
from .signals import Interrupts
from .summary import print_summary
from .view import View, make_console, make_view

#: Seconds between two looks at a run.
LOOK_S = 0.2


@click.command("submit")
@click.argument("recipe")
@click.option(
    "--env", type=click.Choice(["sim", "poc", "hpc"]), help="Where to run; the file's `env`, else hpc."
)
@options.scheduler
@options.profile
@options.sites
@click.option("--workspace", metavar="DIR", help="Where run folders are made; fox_runs by default.")
@click.option("--dry-run", is_flag=True, help="Print the jobs and what they ask for; start nothing.")
@click.option(
    "--json", "as_json", is_flag=True, help="End stdout with one JSON object; the rest goes to stderr."
)
@click.option("--detach", is_flag=True, help="Leave the run in the background, and return once it runs.")
@click.option("--announce", type=int, hidden=True)
def command(
    recipe: str, dry_run: bool, as_json: bool, detach: bool, announce: int | None, **where: Any
) -> int:
    """Run RECIPE, a Python file that defines `recipe`, and watch it until it ends.

    The file is loaded as a module, once: an `if __name__ == "__main__":` block in it does not run, and
    a recipe.execute() outside of such a block does, before this command runs the recipe itself.

    Ctrl-C cancels the run and its jobs, and waits until they have ended; the third one leaves at once.
    """
    if detach and dry_run:
        raise click.UsageError("--dry-run starts nothing that --detach could leave in the background")
    with Interrupts() as stop, contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            with stop.raising():
                if detach:
                    return start_detached(recipe, where)
                loaded = load(recipe)
                env = make_env(loaded, **where)
                if dry_run:
                    return _show_plan(loaded.recipe, env, as_json)
        except KeyboardInterrupt:
            return stop.exit_code
        return _execute(loaded.recipe, env, stop, as_json, announce)


def make_env(
    loaded: Loaded,
    env: str | None,
    scheduler: str | None,
    sites: int | None,
    workspace: str | None,
    profile: str | None = None,
) -> ExecEnv:
    """Make the environment that the options ask for, or take the recipe file's own."""
    for option, value in (("scheduler", scheduler), ("profile", profile)):
        if value is not None and env not in (None, "hpc"):
            raise click.UsageError(f"--{option} {value} is for --env hpc, not for --env {env}")
    if env is None and scheduler is None and profile is None and loaded.env is not None:
        if sites is not None or workspace is not None:
            raise click.UsageError(
                f"{loaded.file.name} makes its own env: --sites and --workspace need --env beside them"
            )
        return loaded.env
    if env == "sim":
        from ..envs.sim import SimEnv

        return SimEnv(sites, workspace)
    if env == "poc":
        from ..envs.poc import PocEnv

        return PocEnv(sites, workspace)
    from ..envs.hpc import HpcEnv
    from ..hpc.profile import Profile, load_profile

    known = Profile() if profile is None else load_profile(profile)
    return HpcEnv(
        sites,
        scheduler or "auto",
        workspace,
        poll_s=known.poll_s,
        profile=known.job,
        relay=known.relay,
        owner=known.owner,
    )


def _show_plan(recipe: FoxRecipe, env: ExecEnv, as_json: bool) -> int:
    from .dryrun import print_plan

    print_plan(make_console(stderr=as_json), recipe, env)
    return 0


def _execute(recipe: FoxRecipe, env: ExecEnv, stop: Interrupts, as_json: bool, announce: int | None) -> int:
    console = make_console(stderr=as_json)
    run = recipe.execute(env)
    if announce is not None:
        os.write(announce, str(run.workspace).encode())
        os.close(announce)
    view = make_view(console)
    try:
        _watch(run, stop, view)
    finally:
        view.close()
    record = run.record()
    print_summary(console, record, run.scalars())
    code = _end(run, stop)
    save_ending(record.folder, Ending(code, list(run.scalars())))
    if as_json:
        assert sys.__stdout__ is not None
        click.echo(json_line(outcome(record)), file=sys.__stdout__)
    return code


def _watch(run: Run, stop: Interrupts, view: View) -> None:
    """Show the run until it ends; a signal cancels it, and then it still has to end."""
    answers: list[tuple[int, str, Callable[[], None]]] = [
        (1, "cancelling the run and its jobs …", run.cancel),
        (2, "still cancelling: once more leaves now, and the jobs to end by themselves", lambda: None),
    ]
    while not run.wait(LOOK_S):
        view.update(run.record())
        while answers and stop.count >= answers[0][0]:
            _, sentence, act = answers.pop(0)
            view.say(sentence)
            act()
    view.update(run.record())


def _end(run: Run, stop: Interrupts) -> int:
    """Tell why a run failed, and give the exit code."""
    try:
        run.result()
    except RunCancelled as error:
        say(error)
        return stop.exit_code
    except Exception as error:
        say(error)
        return exit_code(error)
    return 0
