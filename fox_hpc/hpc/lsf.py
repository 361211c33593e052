"""LSF's dialect: its states, command lines, script and answers. No I/O.

Written against the command reference of IBM Spectrum LSF 10.1 (bsub, bjobs, bkill) and public output of it,
and held against the output of OpenLava 2.2, which has no `bjobs -o`.
https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=reference-command
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import partial

from ..errors import RecipeError, SubmitError
from . import refusals, script
from .dialect import Answer, Cancellation, Inquiry, JobPlan, Query, Submission
from .lsf_answers import COLUMNS, TROUBLE, read_closer, read_rows, read_table
from .resources import HpcConfig

_SUBMITTED = re.compile(r"\bJob <(\d+)> is submitted to\b")
_HARMLESS = re.compile(r"already finished|No matching job found|is being terminated|Operation is in progress")
_DIGITS = "${LSB_JOBID}"


class LsfDialect:
    """Speaks LSF, 10.1 and its relatives."""

    name = "lsf"
    ping = ("bhosts",)

    def render(self, plan: JobPlan) -> Submission:
        """Give the script, whose `#BSUB` lines bsub reads from its standard input only."""
        return Submission(plan, ("bsub",), script.joined(_script(plan)), stdin=True)

    def read_job_id(self, answer: Answer) -> str:
        """Read bsub's answer, which may stand among words of the site; 255 is every failure's code."""
        if match := _SUBMITTED.search(answer.stdout):
            return match[1]
        words = (answer.stderr.strip() or answer.stdout.strip()) or "(it wrote nothing)"
        problem = "answered without a job id" if answer.exit_code == 0 else "did not take the job"
        raise SubmitError(
            f"bsub {problem}: {words}",
            command=answer.command,
            exit_code=answer.exit_code,
            output=answer.stdout + answer.stderr,
            transient=answer.exit_code != 0 and bool(TROUBLE.search(answer.stdout + answer.stderr)),
        )

    def at_fault(self, words: str, script: str) -> list[str]:
        """Find the lines in our script."""
        return refusals.lines_at_fault(words, script, "#BSUB", refusals.LSF)

    def inquiry(self, job_ids: Sequence[str]) -> Inquiry:
        """Ask bjobs, which knows ended jobs for CLEAN_PERIOD (an hour by default).

        Relatives of LSF have no -o: then its table, and `bjobs -l` for how one job ended.
        """
        rows = Query(_rows_command(*job_ids), partial(read_rows, job_ids))
        table = Query(("bjobs", "-a", "-w", *job_ids), partial(read_table, job_ids))
        return Inquiry((rows, table), closer=_closer)

    def find(self, name: str) -> tuple[Query, ...]:
        """Ask bjobs."""
        table = Query(("bjobs", "-a", "-w", "-J", name), partial(read_table, ()))
        return (Query(_rows_command("-J", name), partial(read_rows, ())), table)

    def cancellation(self, job_ids: Sequence[str]) -> Cancellation:
        """Call bkill: INT, ten seconds later TERM, ten seconds later KILL."""
        return Cancellation(("bkill", *job_ids), _read_cancel)


def _rows_command(*which: str) -> tuple[str, ...]:
    return ("bjobs", "-a", "-noheader", "-o", f"{' '.join(COLUMNS)} delimiter='^'", *which)


def _closer(job_id: str) -> Query:
    return Query(("bjobs", "-l", job_id), partial(read_closer, job_id))


def _script(plan: JobPlan) -> Iterator[str]:
    config = plan.config
    script.check_plan(plan)
    launcher = script.launcher(config, "LSF")
    if not re.fullmatch(r"[\w.:+@=,-]+", plan.name, re.ASCII):
        # Brackets make an array, % and * are patterns.
        raise RecipeError(f"LSF takes letters, digits and '._-+:@=,' in a job's name: {plan.name!r}")
    script.refuse(
        config,
        "LSF",
        qos="it has no such option; a queue or a directive (-sla) may stand for it",
        gpu_request="it has one way to ask for GPUs",
    )
    yield "#!/bin/bash"
    yield f"#BSUB -J {plan.name}"
    if config.partition:
        yield f"#BSUB -q {shlex.quote(config.partition)}"
    if config.account:
        yield f"#BSUB -P {shlex.quote(config.account)}"
    yield from _csm_requests(config) if launcher == "jsrun" else _requests(config)
    yield from _times(config)
    # The relay submits anew, as another attempt; a job that LSF starts again would be the same one twice.
    yield "#BSUB -rn"
    # The submitting environment comes along, whatever a site's own rule for bsub says.
    yield '#BSUB -env "all"'
    yield f"#BSUB -o {script.own_output(plan)}"
    yield from script.verbatim(config, "#BSUB")
    yield ""
    # The file of -o takes LSF's report of the job, and the job's output only when it has ended.
    yield script.redirection(plan, _DIGITS)
    yield from script.prologue(plan)
    yield from script.body(plan, "lsf", launcher, _DIGITS)


def _requests(config: HpcConfig) -> Iterator[str]:
    yield f"#BSUB -n {config.nodes_per_client * config.cpus_per_node}"
    yield f'#BSUB -R "span[ptile={config.cpus_per_node}]"'
    if config.gpus_per_node:
        # Of each host, unless it says `/task`.
        yield f'#BSUB -gpu "num={config.gpus_per_node}"'
    if config.mem:
        # Of each host, unless the site has set RESOURCE_RESERVE_PER_TASK.
        yield f'#BSUB -R "rusage[mem={config.mem}]"'
    if config.constraint:
        if re.search(r'["\[\]$`\\]', config.constraint):
            raise RecipeError(
                f"hpc_config['constraint']={config.constraint!r}: what may stand in select[…] is right on LSF"
            )
        yield f'#BSUB -R "select[{config.constraint}]"'
    if config.exclusive:
        yield "#BSUB -x"


def _csm_requests(config: HpcConfig) -> Iterator[str]:
    """Ask CSM, which gives whole nodes with all that they have; there -n and -R are refused.

    The launch line asks for CPUs and GPUs.
    """
    script.refuse(
        config,
        "LSF with CSM",
        mem="a job has all memory of its nodes",
        exclusive="a job has its nodes alone, always",
    )
    yield f"#BSUB -nnodes {config.nodes_per_client}"
    if config.constraint:
        yield f"#BSUB -alloc_flags {shlex.quote(config.constraint)}"


def _times(config: HpcConfig) -> Iterator[str]:
    if (limit := config.time_limit_s) is None:
        return
    minutes, lead = -(-limit // 60), -(-config.lead_s // 60)
    yield f"#BSUB -W {minutes}"
    if 0 < lead < minutes:
        # LSF's clock has whole minutes. USR2 is also what LSF sends at the limit itself.
        yield "#BSUB -wa USR2"
        yield f"#BSUB -wt {lead}"


def _read_cancel(answer: Answer) -> str:
    if answer.exit_code == 0:
        return ""
    lines = [line for line in (answer.stdout + "\n" + answer.stderr).splitlines() if line.strip()]
    harmful = [line for line in lines if not _HARMLESS.search(line)]
    return "\n".join(harmful) if lines else f"bkill exited with {answer.exit_code}"
