"""`fox-hpc submit --dry-run`: what would be started, and what it would cost."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..envs.base import ExecEnv
from ..envs.hpc import HpcEnv
from ..envs.poc import PocEnv
from ..envs.sim import SimEnv
from ..hpc.executor import Submission
from ..recipe import FoxRecipe


def print_plan(console: Console, recipe: FoxRecipe, env: ExecEnv) -> None:
    """Print the jobs of a run with their scripts, or say what else would be started."""
    if not isinstance(env, HpcEnv):
        console.print(Text(f"{recipe.job_name}: no batch job, but {_local(recipe, env)}"), soft_wrap=True)
        return
    submissions = env.plan(recipe)
    for submission in submissions:
        console.print(Text(f"# {submission.plan.name}", style="bold"))
        console.print(Text(str(submission)), soft_wrap=True)
        console.print()
    console.print(_asked(submissions))
    console.print(Text(total(submissions)))


def _local(recipe: FoxRecipe, env: ExecEnv) -> str:
    if not isinstance(env, SimEnv | PocEnv):
        return f"whatever {env!r} starts"
    names = [site.name for site in recipe.site_specs(env.num_clients or recipe.min_clients)]
    how = "threads of this process" if isinstance(env, SimEnv) else "processes on this machine"
    return f"{len(names)} sites as {how}: {', '.join(names)}"


def _asked(submissions: list[Submission]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("job", "nodes", "gpus/node", "cpus/node", "mem/node", "time limit", "partition"):
        table.add_column(column)
    for each in submissions:
        asks = each.plan.config
        table.add_row(
            each.plan.name,
            str(asks.nodes_per_client),
            str(asks.gpus_per_node),
            str(asks.cpus_per_node),
            asks.mem or "default",
            asks.time_limit or "default",
            asks.partition or "default",
        )
    return table


def total(submissions: list[Submission]) -> str:
    """Say how many node hours the jobs may take at most."""
    nodes = sum(each.plan.config.nodes_per_client for each in submissions)
    limits = [(each.plan.config.nodes_per_client, each.plan.config.time_limit) for each in submissions]
    known = [count * hours(limit) for count, limit in limits if limit is not None]
    said = f"{len(submissions)} jobs, {nodes} nodes"
    if len(known) < len(limits):
        return f"{said}; the partition's default time limit bounds the node hours"
    return f"{said}, at most {sum(known):g} node hours"


def hours(time_limit: str) -> float:
    """Turn a time limit into hours: minutes, `h:mm:ss`, `d-h`, `d-h:mm` or `d-h:mm:ss`."""
    days, dash, clock = time_limit.rpartition("-")
    parts = [float(part) for part in clock.split(":")]
    if not dash and len(parts) == 1:
        return parts[0] / 60
    return sum((part / 60**place for place, part in enumerate(parts)), start=float(days or 0) * 24)
