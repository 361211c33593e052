"""Which lines of a script a scheduler's refusal is about. Pure.

A row: the scheduler's words, and the options that they are about, as our scripts and a user's `directives`
write them. `{}` stands for what the words name in parentheses. Words that may have other causes (an account
that has run out, a closed cluster) have no row, or name all options that can be the cause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Row = tuple[str, tuple[str, ...]]

_SHAPE = (
    "--nodes|-N",
    "--cpus-per-task|-c",
    "--gres",
    "--gpus-per-node",
    "--mem",
    "--constraint|-C",
    "--exclusive",
)
# sbatch of 22.05 as recorded; where that is said, slurm_errno.c of the same release.
SLURM: tuple[Row, ...] = (
    (r"invalid partition", ("--partition|-p",)),  # sbatch_bad_partition
    (r"Required partition not available", ("--partition|-p",)),  # ESLURM_PARTITION_DOWN
    (r"Job's account not permitted to use this partition", ("--account|-A", "--partition|-p")),
    (r"Invalid account or account/partition", ("--account|-A", "--partition|-p")),  # sbatch_bad_account
    (r"Invalid qos specification", ("--qos|-q",)),  # sbatch_bad_qos
    (r"Invalid feature specification", ("--constraint|-C",)),  # sbatch_bad_constraint
    (r"Invalid generic resource", ("--gres", "--gpus-per-node")),  # sbatch_bad_gres_name
    (r"Invalid node name", ("--nodelist|-w", "--exclude|-x")),  # sbatch_bad_nodelist
    (r"Node count specification invalid", ("--nodes|-N",)),  # sbatch_bad_nodes_over_partition
    (
        r"More processors requested than permitted",
        ("--nodes|-N", "--cpus-per-task|-c"),
    ),  # sbatch_bad_too_many_cpus
    (r"Memory specification can not be satisfied", ("--mem",)),  # sbatch_bad_too_much_memory
    (r"Memory required by task is not available", ("--mem",)),  # ESLURM_INVALID_TASK_MEMORY
    (r"Requested time limit is invalid", ("--time|-t",)),  # sbatch_bad_time_over_limit
    (r"reservation is invalid", ("--reservation",)),  # sbatch_bad_reservation
    (r"Invalid job array", ("--array|-a",)),  # sbatch_bad_array
    (r"(?:Invalid|unrecognized option '?)\s*(--[\w-]+)", ("{}",)),  # sbatch_bad_option, _signal, _time_syntax
    (r"job submit limit, user's size and/or time limits", ("--time|-t", "--nodes|-N", "--qos|-q")),
    (r"Requested node configuration is not available", _SHAPE),  # sbatch_bad_gpu_type
)
# qsub of OpenPBS 23.06 as recorded in 02_qsub_errors; Torque has some of the words behind "submit error (".
PBS: tuple[Row, ...] = (
    (r"Unknown queue|Queue is not enabled|Unauthorized Request", ("-q",)),
    (r"Unknown resource:? (?:Resource_List\.)?(\w+)", (r"-l \S*\b{}\b",)),
    (r"attribute or resource value (?:Resource_List|select)\.(\w+)", (r"-l \S*\b{}\b",)),
    (r"attribute or resource value", ("-l",)),
    (r"cannot be used with .*resource is: (\w+)", (r"-l {}=", "-l select")),
    (r"exceeds? queue resource limits|queue and/or server resource limits", ("-l", "-q")),
    (r"Job name is too long", ("-N",)),
    (r"illegal -(\w) value|invalid option -- '(\w)'", ("-{}",)),
)
# bsub of LSF 10.1 as public code and documents show it, and of OpenLava 2.2 as recorded (01_openlava_bsub).
LSF: tuple[Row, ...] = (
    (r"No such queue|User cannot use the queue", ("-q",)),
    (r"resource requirement|Error (?:in|near|with) .*|in \w+ section", ("-R",)),
    (r"RUNLIMIT", ("-W",)),
    (r"[Nn]umber of processors|Too many processors", ("-n",)),
    (r"Bad job name", ("-J",)),
    (r"Bad host name", ("-m",)),
    (r"Dependency condition", ("-w",)),
)


def lines_at_fault(words: str, script: str, prefix: str, rows: Sequence[Row]) -> list[str]:
    """Give the directives of a script that a refusal is about, or that it may be about; [] if nobody knows.

    Args:
        words: the scheduler's.
        prefix: of its directives, `#SBATCH`.
        rows: those of its dialect; the first that the words match decides.
    """
    lines = [line for line in script.splitlines() if line.startswith(f"{prefix} ")]
    for pattern, options in rows:
        if match := re.search(pattern, words, re.IGNORECASE):
            named = re.escape(next((group for group in match.groups() if group), ""))
            wanted = "|".join(option.replace("{}", named) for option in options)
            return [line for line in lines if re.match(rf"{prefix}\s+(?:{wanted})(?![\w-])", line)]
    return []


def with_lines(problem: str, lines: Sequence[str], file: str) -> str:
    """Say beside a scheduler's words which line of our script they are about."""
    if not lines:
        return problem
    which = "this line" if len(lines) == 1 else "one or more of these lines"
    return "\n".join([problem, f"It is about {which} of {file}:", *(f"    {line}" for line in lines)])
