"""The settings that an examination leads to, and the site.toml that holds them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import Check, Partition

#: The usual period of looks at the queue, in seconds …
POLL_S = 30.0
#: … of which so many must fit into the time for which squeue remembers an ended job, without accounting.
LOOKS_IN_MEMORY = 3
_DIRECTIVES = {"slurm": "--reservation=class", "pbs": "-W umask=027", "lsf": "-G physics"}


def poll_s(accounting: bool, remembers_s: int | None, scheduler: str = "slurm") -> float:
    """Choose how often to look at the queue, so that no job is forgotten between two looks."""
    if scheduler.startswith("fake-"):
        return 1.0  # nobody else is bothered
    if accounting or remembers_s is None:
        return POLL_S
    return max(2.0, min(POLL_S, remembers_s / LOOKS_IN_MEMORY))


def recommended(
    asked: Mapping[str, Any], partition: Partition | None, *, accounting: bool, remembers_s: int | None
) -> dict[str, dict[str, Any]]:
    """Give the tables of a site.toml.

    Args:
        asked: keys of hpc_config that the job of the examination ran with, or would have.
    """
    job = {name: value for name, value in asked.items() if name not in ("nodes_per_client", "time_limit")}
    if partition is not None:
        job.setdefault("partition", partition.name)
    order = ("scheduler", "partition", "account", "qos")
    job = {name: job[name] for name in [*order, *sorted(set(job) - set(order))] if name in job}
    return {"job": job, "relay": {"poll_s": poll_s(accounting, remembers_s, asked["scheduler"])}}


def site_toml(
    tables: Mapping[str, Mapping[str, Any]], checks: Sequence[Check], partition: Partition | None
) -> str:
    """Write a site.toml with comments, which `load_profile` reads."""
    lines = ["# Settings of this cluster, by `fox-hpc doctor`. A recipe's hpc_config goes before them:", "#"]
    lines += ["#   fox-hpc submit recipe.py --profile site.toml", "#"]
    troubled = [check for check in checks if check.level != "ok"]
    lines += [f"# {check.level}: {check.name}: {_one_line(check)}" for check in troubled]
    lines += ["# All checks were ok."] * (not troubled) + ["", "[job]"]
    lines += [_assignment(name, value) for name, value in tables["job"].items()]
    if partition is not None:
        lines += ["", f"# {partition}"]
    limit = "1:00:00" if partition is None or partition.limit == "infinite" else partition.limit
    lines += [
        "# What a job asks for is best said by a recipe. Said here, it holds for recipes that do not:",
        f'# time_limit = "{limit}"',
        "# cpus_per_node = 8",
        "# gpus_per_node = 4",
        '# mem = "64G"',
        '# prologue = ["module load cuda"]',
        '# python = "/shared/venv/bin/python"',
        f'# directives = ["{_DIRECTIVES[tables["job"]["scheduler"].removeprefix("fake-")]}"]',
        "",
        "[relay]",
        "# Seconds between two looks at the queue, one command for all jobs of a run.",
    ]
    lines += [_assignment(name, value) for name, value in tables["relay"].items()]
    return "\n".join([*lines, ""])


def _one_line(check: Check) -> str:
    return " ".join(f"{check.found}; {check.advice}".split())


def _assignment(name: str, value: Any) -> str:
    # JSON's strings, numbers, booleans and lists of them are TOML's too.
    number = f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return f"{name} = {number}"
