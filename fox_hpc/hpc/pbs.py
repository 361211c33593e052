"""PBS's dialect: command lines and script, of OpenPBS and PBS Pro, and of Torque. No I/O.

Written against the PBS Professional reference guide (qsub, qstat, qdel, qselect) and the output of OpenPBS
23.06; Torque against its manual (6.1) only. https://help.altair.com/2022.1.0/PBS%20Professional/
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..errors import RecipeError, SchedulerError, SubmitError, UnreadableOutput
from . import refusals, script
from .dialect import Answer, Cancellation, Inquiry, JobPlan, Query, Submission
from .pbs_answers import TROUBLE, read_ids, read_json, read_plain
from .resources import HpcConfig

#: Tells which PBS is here.
VERSION = ("qstat", "--version")
#: qsub(1B), -N: older versions allow 15 characters of a job's name, and a letter for the first.
LONGEST_NAME = 15

_JOB_ID = re.compile(r"^(\d+(\.[\w.-]+)?)\s*$", re.MULTILINE)
_HARMLESS = re.compile(
    r"Job has finished|Unknown Job Id|invalid state for job - COMPLETE|state of job: COMPLETE", re.IGNORECASE
)
# Shell words: "4711" of "4711.pbs01".
_DIGITS = "${PBS_JOBID%%.*}"


class PbsDialect:
    """Speaks PBS.

    Args:
        torque: True for Torque, whose words for resources, ended jobs and exit codes are others.
    """

    name = "pbs"
    ping = ("qstat", "-B")

    def __init__(self, torque: bool = False) -> None:
        self.torque = torque

    def render(self, plan: JobPlan) -> Submission:
        """Give the script and the command that submits it."""
        lines = _script(plan, _torque_requests if self.torque else _pbs_requests, self._title)
        return Submission(plan, ("qsub", str(plan.script_file)), script.joined(lines))

    def read_job_id(self, answer: Answer) -> str:
        """Read qsub's answer; the id keeps its server's name."""
        words = (answer.stderr.strip() or answer.stdout.strip()) or "(it wrote nothing)"
        found = _JOB_ID.findall(answer.stdout)
        if answer.exit_code == 0 and found:
            return str(found[-1][0])
        problem = "answered without a job id" if answer.exit_code == 0 else "did not take the job"
        raise SubmitError(
            f"qsub {problem}: {words}",
            command=answer.command,
            exit_code=answer.exit_code,
            output=answer.stdout + answer.stderr,
            transient=answer.exit_code != 0 and bool(TROUBLE.search(words)),
        )

    def at_fault(self, words: str, script: str) -> list[str]:
        """Find the lines in our script."""
        return refusals.lines_at_fault(words, script, "#PBS", refusals.PBS)

    def inquiry(self, job_ids: Sequence[str]) -> Inquiry:
        """Ask qstat, ended jobs included (-x).

        First in JSON, for all ids (without -E some versions answer the first only). Versions of before
        2023 write JSON that is none as soon as a variable of anybody's job has a quote in it: then plainly.
        Where a server keeps no history it refuses -x, even for a job that runs: then without it.
        """
        plain = partial(read_plain, job_ids, torque=self.torque)
        current = Query(("qstat", "-f", *job_ids), plain)
        if self.torque:
            return Inquiry((current,))
        as_json = Query(("qstat", "-E", "-x", "-f", "-F", "json", *job_ids), partial(read_json, job_ids))
        return Inquiry((as_json, Query(("qstat", "-x", "-f", *job_ids), plain), current))

    def find(self, name: str) -> tuple[Query, ...]:
        """Ask qselect, which gives ids only."""
        current = Query(("qselect", "-N", short_name(name)), read_ids)
        return (
            (current,) if self.torque else (Query(("qselect", "-x", *current.command[1:]), read_ids), current)
        )

    def cancellation(self, job_ids: Sequence[str]) -> Cancellation:
        """Call qdel, whose exit code is that of the last id that went wrong."""
        return Cancellation(("qdel", *job_ids), _read_cancel)

    @property
    def _title(self) -> str:
        return "Torque" if self.torque else "PBS"


def is_torque(answer: Answer) -> bool:
    """Tell from the answer to VERSION which PBS it was.

    Raises:
        SchedulerError: the server is away, and this qstat asks it.
        UnreadableOutput: none that is known; there are qstats of SGE, and some that imitate PBS on Slurm.
    """
    text = answer.stdout + answer.stderr
    if answer.exit_code and TROUBLE.search(text):
        raise SchedulerError(text.strip(), command=answer.command, exit_code=answer.exit_code, output=text)
    if re.search(r"^\s*pbs_version\s*=", text, re.MULTILINE):
        return False
    if re.search(r"^\s*Version:\s*\d", text, re.MULTILINE):
        return True
    problem = f"this qstat is neither OpenPBS's nor Torque's: {text.strip()[:200] or '(it wrote nothing)'}"
    raise UnreadableOutput(problem, command=answer.command, exit_code=answer.exit_code, output=text)


def short_name(name: str) -> str:
    """Give a job's name as every PBS takes it: a long one by its start and a hash of the whole.

    >>> short_name("fedavg-site-1"), short_name("fedavg-20261124-093000-a1b2-site-1-1")
    ('fedavg-site-1', 'fedavg-92b37e2c')
    """
    if re.fullmatch(rf"[A-Za-z][\w-]{{0,{LONGEST_NAME - 1}}}", name, re.ASCII):
        return name
    start = re.sub(r"[^A-Za-z0-9]", "", name)[:6]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{start if start[:1].isalpha() else 'j' + start[:5]}-{digest}"


Requests = Callable[[HpcConfig], Iterator[tuple[str, str]]]


def _script(plan: JobPlan, requests: Requests, title: str) -> Iterator[str]:
    script.check_plan(plan)
    launcher = script.launcher(plan.config, title)
    script.refuse(
        plan.config,
        title,
        qos="it has no such option; a queue or a directive may stand for it",
        gpu_request="it has one way to ask for GPUs",
    )
    yield "#!/bin/bash"
    yield f"#PBS -N {short_name(plan.name)}"
    # Torque's MoM gives the script to this shell; PBS Pro's honours the first line.
    yield "#PBS -S /bin/bash"
    for option, value in requests(plan.config):
        yield f"#PBS {option} {shlex.quote(value)}"
    # The relay submits anew, as another attempt; a job that PBS starts again would be the same one twice.
    yield "#PBS -r n"
    yield "#PBS -j oe"
    yield f"#PBS -o {script.own_output(plan)}"
    yield from script.verbatim(plan.config, "#PBS")
    yield ""
    # PBS copies a job's output when the job has ended, and cannot put an id into a file's name.
    yield script.redirection(plan, _DIGITS)
    yield 'cd "$PBS_O_WORKDIR"'
    yield from script.prologue(plan)
    yield from script.body(plan, "pbs", launcher, _DIGITS)


def _pbs_requests(config: HpcConfig) -> Iterator[tuple[str, str]]:
    chunk = [f"{config.nodes_per_client}", f"ncpus={config.cpus_per_node}"]
    if config.gpus_per_node:
        chunk.append(f"ngpus={config.gpus_per_node}")
    if config.mem:
        chunk.append(f"mem={config.mem.lower()}b")
    if config.constraint:
        if not re.fullmatch(r"\w+=[\w.+/-]+(:\w+=[\w.+/-]+)*", config.constraint):
            raise _bad_constraint(config, "resources of a chunk are right on PBS: 'gpu_type=a100:host=cn01'")
        chunk.append(config.constraint)
    yield from _names(config)
    yield "-l", "select=" + ":".join(chunk)
    # Without it two chunks may be put on one host.
    yield "-l", "place=scatter:excl" if config.exclusive else "place=scatter"
    yield from _walltime(config)


def _torque_requests(config: HpcConfig) -> Iterator[tuple[str, str]]:
    script.refuse(config, "Torque", exclusive="the word for whole nodes is its scheduler's; use a directive")
    nodes = [f"nodes={config.nodes_per_client}", f"ppn={config.cpus_per_node}"]
    if config.gpus_per_node:
        nodes.append(f"gpus={config.gpus_per_node}")
    if config.constraint:
        if not re.fullmatch(r"[\w.-]+(:[\w.-]+)*", config.constraint):
            raise _bad_constraint(config, "properties of nodes are right on Torque: 'a100:ib'")
        nodes.append(config.constraint)
    yield from _names(config)
    yield "-l", ":".join(nodes)
    if config.mem:
        # Torque's mem is that of the whole job.
        yield "-l", f"mem={config.nodes_per_client * int(config.mem[:-1])}{config.mem[-1].lower()}b"
    yield from _walltime(config)


def _names(config: HpcConfig) -> Iterator[tuple[str, str]]:
    if config.partition:
        yield "-q", config.partition
    if config.account:
        yield "-A", config.account


def _walltime(config: HpcConfig) -> Iterator[tuple[str, str]]:
    if limit := config.time_limit_s:
        yield "-l", f"walltime={limit // 3600:02}:{limit // 60 % 60:02}:{limit % 60:02}"


def _bad_constraint(config: HpcConfig, right: str) -> RecipeError:
    return RecipeError(f"hpc_config['constraint']={config.constraint!r}: {right}")


def _read_cancel(answer: Answer) -> str:
    if answer.exit_code == 0:
        return ""
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    harmful = [line for line in lines if not _HARMLESS.search(line)]
    return "\n".join(harmful) if lines else f"qdel exited with {answer.exit_code}"
