"""Slurm's dialect: its states, command lines, script and answers. No I/O.

Written against the manual pages of sbatch, squeue, sacct and scancel and the output of 22.05.
https://slurm.schedmd.com/man_index.html
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import SubmitError, UnreadableOutput
from . import refusals, script
from .dialect import Answer, Cancellation, Inquiry, JobInfo, JobPlan, JobState, Query, Reading, Submission

# squeue(1), JOB STATE CODES; sacct(1) uses the same words. A job that is on its way back into the queue is
# PENDING; one that ends is RUNNING until the queue says how it ended; one that lost its nodes is LOST.
STATES: dict[str, JobState] = {
    "BOOT_FAIL": "LOST",  # its nodes did not boot
    "CANCELLED": "CANCELLED",
    "COMPLETED": "DONE",  # all processes ended with exit code 0
    "COMPLETING": "RUNNING",  # some of its processes may still be there
    "CONFIGURING": "PENDING",  # has nodes, which boot
    "DEADLINE": "TIMEOUT",  # could not end before its --deadline
    "EXPEDITING": "PENDING",  # squeue(1) of 25.05: requeued to run again at once
    "FAILED": "FAILED",
    "LAUNCH_FAILED": "LOST",  # squeue(1) of 24.11: did not start on its nodes, or their prolog failed
    "NODE_FAIL": "LOST",
    "OUT_OF_MEMORY": "FAILED",
    "PENDING": "PENDING",
    "POWER_UP_NODE": "PENDING",  # squeue(1) of 24.11: waits for nodes that are switched on
    "PREEMPTED": "PREEMPTED",
    "RECONFIG_FAIL": "LOST",  # squeue(1) of 24.11: its nodes could not be configured
    "REQUEUED": "PENDING",
    "REQUEUE_FED": "PENDING",
    "REQUEUE_HOLD": "PENDING",
    "RESIZING": "RUNNING",
    "RESV_DEL_HOLD": "PENDING",  # its reservation was deleted
    "REVOKED": "CANCELLED",  # another cluster of the federation took it
    "RUNNING": "RUNNING",
    "SIGNALING": "RUNNING",
    "SPECIAL_EXIT": "PENDING",  # requeued by a rule of the site, and held
    "STAGE_OUT": "RUNNING",  # a burst buffer is written back
    "STOPPED": "RUNNING",  # keeps its CPUs, got STOP
    "SUSPENDED": "RUNNING",  # gave up its CPUs for a while
    "TIMEOUT": "TIMEOUT",
    "UPDATE_DB": "RUNNING",  # squeue(1) of 24.11: tells the accounting of itself
}

# sbatch's words when slurmctld was busy, restarting or out of reach; the job may be right.
_TRANSIENT = re.compile(
    r"socket timed out|unable to contact slurm controller|connection (refused|timed out|reset)"
    r"|temporarily un(able|available)|zero bytes were transmitted|communication connection failure"
    r"|controller not responding|backup controller",
    re.IGNORECASE,
)
_QUEUE_FORM = "%i|%T|%N|%r"
_SUBMITTED = re.compile(r"^(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?\s*$", re.MULTILINE)
_EXIT_CODE = re.compile(r"\bExitCode=(\d+):(\d+)")
# An array element (4711_3) or a part of a heterogeneous job (4711+1) is a line, but no job of ours.
_JOB_ID = re.compile(r"(\d+)([_+]\S+)?")
_HARMLESS = re.compile(r"invalid job id specified|already (completing|completed)", re.IGNORECASE)
_NO_VALUE = frozenset({"", "None", "(null)", "N/A", "None assigned", "n/a"})


class SlurmDialect:
    """Speaks Slurm, 20.11 and later."""

    name = "slurm"
    #: Asks for the partitions, which every cluster has and every user may see.
    ping = ("sinfo", "-h", "-o", "%P")

    def render(self, plan: JobPlan) -> Submission:
        """Give the script and the command that submits it."""
        command = ("sbatch", "--parsable", str(plan.script_file))
        return Submission(plan, command, script.joined(_script(plan)))

    def read_job_id(self, answer: Answer) -> str:
        """Read sbatch's answer."""
        words = (answer.stderr.strip() or answer.stdout.strip()) or "(it wrote nothing)"
        match = _SUBMITTED.search(answer.stdout)
        if answer.exit_code == 0 and match:
            return match[1]
        problem = "answered without a job id" if answer.exit_code == 0 else "did not take the job"
        raise SubmitError(
            f"sbatch {problem}: {words}",
            command=answer.command,
            exit_code=answer.exit_code,
            output=answer.stdout + answer.stderr,
            transient=answer.exit_code != 0 and bool(_TRANSIENT.search(words)),
        )

    def at_fault(self, words: str, script: str) -> list[str]:
        """Find the lines in our script."""
        return refusals.lines_at_fault(words, script, "#SBATCH", refusals.SLURM)

    def inquiry(self, job_ids: Sequence[str]) -> Inquiry:
        """Ask squeue, which knows ended jobs for MinJobAge (300 s by default) if asked with `-t all`.

        Then sacct, for whole jobs (-X), without their steps.
        """
        ids = ",".join(job_ids)
        queue = Query(("squeue", "-h", "-t", "all", "-o", _QUEUE_FORM, "-j", ids), _read_queue)
        form = "JobIDRaw,State,ExitCode,NodeList,Reason"
        record = Query(("sacct", "-X", "-n", "-P", "-o", form, "-j", ids), _read_record)
        return Inquiry((queue,), record, _closer)

    def find(self, name: str) -> tuple[Query, ...]:
        """Ask squeue."""
        return (Query(("squeue", "-h", "-t", "all", "-o", _QUEUE_FORM, "-n", name), _read_queue),)

    def cancellation(self, job_ids: Sequence[str]) -> Cancellation:
        """Call scancel."""
        return Cancellation(("scancel", *job_ids), read_cancel)


def exit_code_command(job_id: str) -> tuple[str, ...]:
    """Ask for the exit code of one ended job.

    squeue cannot print one, and sacct writes 3 for both 3 and 131 (it takes 128 off), lags, or is off.
    """
    return ("scontrol", "-o", "show", "job", job_id)


def read_exit_code(answer: Answer) -> int | None:
    """Read `scontrol show job`: the exit code, 128 + n after signal n, None if it does not know."""
    match = _EXIT_CODE.search(answer.stdout) if answer.exit_code == 0 else None
    return _exit_code(match[1], match[2]) if match else None


def _closer(job_id: str) -> Query:
    def read(answer: Answer) -> Reading:
        code = read_exit_code(answer)
        jobs = {} if code is None else {job_id: JobInfo(job_id, "FAILED", exit_code=code)}
        return Reading(jobs, {}, answer.problem)

    return Query(exit_code_command(job_id), read)


def read_cancel(answer: Answer) -> str:
    """Say what scancel could not do, "" if nothing; a job that is not there any more is cancelled."""
    if answer.exit_code == 0:
        return ""
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    harmful = [line for line in lines if not _HARMLESS.search(line)]
    return "\n".join(harmful) if lines else f"scancel exited with {answer.exit_code}"


def expand_nodes(nodes: str) -> list[str]:
    """Write a node list out.

    >>> expand_nodes("node[1-2,7],gpu[08-10]")
    ['node1', 'node2', 'node7', 'gpu08', 'gpu09', 'gpu10']

    Raises:
        UnreadableOutput: it is not a node list.
    """
    if nodes in _NO_VALUE:
        return []
    group = r"(?:[^,\[\]\s]|\[[\d,-]+\])+"
    if not re.fullmatch(rf"{group}(?:,{group})*", nodes):
        raise UnreadableOutput(f"{nodes!r} is not a node list", output=nodes)
    return [name for part in re.findall(group, nodes) for name in _expand_group(part)]


def _expand_group(group: str) -> Iterator[str]:
    fixed_and_ranges = re.split(r"\[([\d,-]+)\]", group)
    choices = [
        list(_expand_ranges(text)) if index % 2 else [text] for index, text in enumerate(fixed_and_ranges)
    ]
    return ("".join(parts) for parts in itertools.product(*choices))


def _expand_ranges(ranges: str) -> Iterator[str]:
    for span in ranges.split(","):
        low, _, high = span.partition("-")
        if not low.isdigit() or not (high or low).isdigit():
            raise UnreadableOutput(f"[{ranges}] is not a range of nodes", output=ranges)
        for number in range(int(low), int(high or low) + 1):
            yield f"{number:0{len(low)}}"


def _script(plan: JobPlan) -> Iterator[str]:
    script.check_plan(plan)
    launcher = script.launcher(plan.config, "Slurm")
    yield "#!/bin/bash"
    for name, value in _requests(plan):
        if value is True:
            yield f"#SBATCH --{name}"
        elif value not in (None, False):
            yield f"#SBATCH --{name}={shlex.quote(str(value))}"
    yield from script.verbatim(plan.config, "#SBATCH")
    yield ""
    yield from script.prologue(plan)
    # The submitting environment comes along (sbatch's default; a SBATCH_EXPORT=NONE of the site is scrubbed
    # with the rest of SBATCH_*). Where a site's plugin or a directive still says NONE, the job starts with a
    # login environment, these lines are all it needs, and a bare srun in it must be told not to drop them.
    yield "export SLURM_EXPORT_ENV=ALL"
    # From 22.05 on srun does not take the job's --cpus-per-task for its own.
    yield f"export SRUN_CPUS_PER_TASK={plan.config.cpus_per_node}"
    yield from script.body(plan, "slurm", launcher, "${SLURM_JOB_ID}")


def _requests(plan: JobPlan) -> Iterator[tuple[str, str | int | bool | None]]:
    config = plan.config
    yield "job-name", plan.name
    yield "partition", config.partition
    yield "account", config.account
    yield "qos", config.qos
    yield "nodes", config.nodes_per_client
    # One driver a job. Its steps bring their own counts.
    yield "ntasks-per-node", 1
    yield "cpus-per-task", config.cpus_per_node
    if config.gpus_per_node and config.gpu_request == "gres":
        # All versions know --gres; --gpus-per-node needs the cons_tres plugin.
        yield "gres", f"gpu:{config.gpus_per_node}"
    elif config.gpus_per_node:
        yield "gpus-per-node", config.gpus_per_node
    yield "mem", config.mem
    yield "time", config.time_limit
    yield "constraint", config.constraint
    yield "exclusive", config.exclusive
    # To the batch shell, which the driver has taken the place of; without B: it reaches steps only.
    yield "signal", f"B:USR2@{config.lead_s}" if config.lead_s else None
    # The relay submits anew, as another attempt; a job that Slurm starts again would be the same one twice.
    yield "no-requeue", True
    yield "open-mode", "append"
    yield "output", str(plan.log_files("%j")[0])
    yield "error", str(plan.log_files("%j")[1])


def _read_queue(answer: Answer) -> Reading:
    # With one id that is not there squeue fails; with several it writes nothing and exits with 0.
    if answer.exit_code != 0 and "Invalid job id specified" in answer.stderr:
        return Reading({}, {})
    return _read_rows(answer, ("state", "nodes", "reason"))


def _read_record(answer: Answer) -> Reading:
    reading = _read_rows(answer, ("state", "exit", "nodes", "reason"))
    return replace(reading, off="accounting storage is disabled" in answer.stderr)


def _read_rows(answer: Answer, columns: tuple[str, ...]) -> Reading:
    if answer.problem:
        return Reading({}, {}, answer.problem)
    jobs: dict[str, JobInfo] = {}
    unknown: dict[str, str] = {}
    strange = ""
    for line in filter(str.strip, answer.stdout.splitlines()):
        job_id, *cells = (cell.strip() for cell in line.split("|", len(columns)))
        match = _JOB_ID.fullmatch(job_id)
        if match is None or len(cells) != len(columns):
            strange = strange or f"{answer.command[0]} wrote {line[:200]!r}"
        elif match[2] is None:
            row = dict(zip(columns, cells, strict=True))
            info = _job(job_id, row)
            if info is None:
                unknown[job_id] = row["state"]
            else:
                jobs[job_id] = info
    return Reading(jobs, unknown, strange)


def _job(job_id: str, row: dict[str, str]) -> JobInfo | None:
    raw = row["state"]
    # sacct adds who it was: "CANCELLED by 1001".
    state = STATES.get(raw.split(" ", 1)[0])
    if state is None:
        return None
    if raw == "COMPLETING" and row["reason"] == "NodeDown":
        # It will be NODE_FAIL once its other nodes have ended its processes, which may take KillWait and
        # more; a driver that is one of them leaves other words before. A job that is requeued has no reason.
        state = "LOST"
    code = 0 if state == "DONE" else None
    if state == "FAILED" and re.fullmatch(r"\d+:\d+", row.get("exit", "")):
        code = _exit_code(*row["exit"].split(":"))
    reason, nodes = ("" if row[name] in _NO_VALUE else row[name] for name in ("reason", "nodes"))
    return JobInfo(job_id, state, reason, nodes, code, raw)


def _exit_code(code: str, signal: str) -> int:
    return 128 + int(signal) if int(signal) else int(code)
