"""What the scripts of all dialects have in common. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from ..errors import RecipeError
from .dialect import JobPlan
from .resources import HpcConfig, check_directives

#: The launchers of each scheduler; "auto" is the first.
LAUNCHERS: dict[str, tuple[str, ...]] = {
    "Slurm": ("srun", "mpiexec"),
    # pbsdsh exits with 0 when a task has failed; pbs_tmrsh tells.
    "PBS": ("pbs_tmrsh", "pbsdsh", "mpiexec"),
    "Torque": ("pbsdsh", "mpiexec"),
    "LSF": ("blaunch", "jsrun", "mpiexec"),
}


def check_plan(plan: JobPlan) -> None:
    """Refuse what cannot stand in any script.

    Raises:
        RecipeError: the plan's folder or name is such.
    """
    folder = str(plan.folder)
    if "%" in folder or not folder.isprintable() or not plan.folder.is_absolute():
        # Slurm, LSF and submitit put ids where a % stands.
        raise RecipeError(f"a job's folder is an absolute path without '%' and line ends: {folder!r}")
    if not plan.name.isprintable():
        raise RecipeError(f"a job's name stands on one line: {plan.name!r}")


def refuse(config: HpcConfig, scheduler: str, **why: str) -> None:
    """Refuse the named fields, unless they have their defaults; nothing is ignored.

    Raises:
        RecipeError: names the field and the scheduler.
    """
    for field, reason in why.items():
        value = getattr(config, field)
        if value != HpcConfig.__dataclass_fields__[field].default:
            raise RecipeError(f"hpc_config[{field!r}]={value!r} cannot be said to {scheduler}: {reason}")


def launcher(config: HpcConfig, scheduler: str) -> str:
    """Name what starts a job's processes on its nodes.

    Raises:
        RecipeError: the launcher in the config is another scheduler's.
    """
    right = LAUNCHERS[scheduler]
    if config.launcher not in ("auto", *right):
        words = ", ".join(map(repr, ("auto", *right)))
        raise RecipeError(f"hpc_config['launcher']={config.launcher!r}: on {scheduler} {words} are right")
    return right[0] if config.launcher == "auto" else config.launcher


def verbatim(config: HpcConfig, prefix: str) -> list[str]:
    """Give the `directives` of a config as lines of a script, as they are.

    Raises:
        RecipeError: a line is meant for another scheduler, which this one would pass over in silence,
            or it cannot work.
    """
    check_directives(config.directives, prefix)
    return [line if line.startswith("#") else f"{prefix} {line}" for line in config.directives]


def exports(plan: JobPlan, launcher: str) -> dict[str, str]:
    """Give the variables of a plan, and those that tell the driver what the scheduler cannot.

    Not every scheduler warns before a job's time is up, and none hands its variables to all nodes; so the
    driver is told the limit and how long before it the ranks want to know (seconds), and how to start
    them.
    """
    config = plan.config
    told = {
        "FOX_JOB_NAME": plan.name,  # PBS has a short form of it only
        "FOX_LAUNCHER": launcher,
        "FOX_SIGNAL_LEAD_S": str(config.lead_s),
    }
    if config.time_limit_s is not None:
        told["FOX_TIME_LIMIT_S"] = str(config.time_limit_s)
    return told | dict(plan.exports)


def export_line(name: str, value: str) -> str:
    """Export a variable whose value arrives as it is.

    Within quotes, never by an option of a scheduler's command: a comma ends those.

    Raises:
        RecipeError: a shell takes no variable of that name.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise RecipeError(f"{name!r} cannot be the name of an environment variable")
    return f"export {name}=" + "'{}'".format(value.replace("'", "'\\''"))


def prologue(plan: JobPlan) -> Iterator[str]:
    """Give the lines that run before the job's python."""
    # A warning that comes before the driver listens for it would kill the job, as a failed one. It keeps a
    # clock of its own, and a job that meets its limit all the same is one that timed out.
    yield "trap '' USR2"
    yield from plan.config.prologue


def body(plan: JobPlan, executor: str, launcher: str, job_id: str) -> Iterator[str]:
    """Give a script's last part: exports, and the python that runs the pickled function.

    Args:
        executor: what submitit finds in SUBMITIT_EXECUTOR.
        job_id: shell words, unquoted, that become the digits of the job's id.
    """
    folder = shlex.quote(str(plan.folder))
    yield f"export SUBMITIT_EXECUTOR={executor}"
    yield from (export_line(name, value) for name, value in sorted(exports(plan, launcher).items()))
    # The pickle has its final name before the job exists: a submitter that is killed between submitting
    # and a rename would leave a job that waits for its function in vain. A file in the link's place is
    # the checkpoint of a job that was requeued.
    yield f'submitted={folder}/"{job_id}_submitted.pkl"'
    yield f'[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf {plan.pickle_file.name} "$submitted"'
    # exec: the batch step is then this python, so that signals to the batch shell reach it.
    yield f"exec {python(plan)} -u -m submitit.core._submit {folder}"


def redirection(plan: JobPlan, job_id: str) -> str:
    """Send output to the plan's log files; for schedulers whose options cannot hold a job's id.

    Args:
        job_id: shell words, unquoted, that become the digits of the job's id.
    """
    folder = shlex.quote(str(plan.folder))
    return f'exec >>{folder}/"{job_id}_0_log.out" 2>>{folder}/"{job_id}_0_log.err"'


def own_output(plan: JobPlan) -> str:
    """Name the file for what the scheduler itself writes into a job's output, quoted for a directive.

    It says why a job never reached its script, or what limit it met. A folder whose name has a meaning to
    a scheduler's option (PBS takes `host:path`) gets none.
    """
    path = str(plan.folder / f"scheduler{plan.mark}.log")
    return path if re.fullmatch(r"[\w./@+=-]+", path) else "/dev/null"


def python(plan: JobPlan) -> str:
    """Give the interpreter as shell words."""
    return plan.config.python or shlex.quote(plan.python)


def joined(*parts: Sequence[str] | Iterator[str]) -> str:
    """Put a script together from its lines."""
    return "\n".join([*(line for part in parts for line in part), ""])
