"""check_dialect: what every dialect must get right, on a scheduler that answers, fake or real.

    check_dialect(SlurmExecutor, Path("/shared/scratch/check"))

It submits ten small jobs, the biggest one on two nodes. `DIALECT_CHECKS` has the checks by name, to be run
alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..environment import process_environ
from ..errors import FoxError, SubmitError
from ..hpc.dialect import GONE, file_id
from . import dialect_jobs as jobs
from .dialect_desk import Desk, Ground, MakeExecutor
from .ear import expect

_UNKNOWN = "99999999"


def check_dialect(
    make: MakeExecutor, folder: Path, environ: Mapping[str, str] | None = None, **options: Any
) -> None:
    """Run every check, all at once, since a scheduler takes its time; AssertionError says what is wrong.

    Args:
        make: makes an executor that speaks the dialect, from `environ`.
        folder: takes the jobs' files; the compute nodes must see it.
        environ: where the scheduler's commands are found; None means this process's variables.
        options: `config`, what all jobs ask for besides, in the words of `hpc_config` (a partition, an
            account); `time_limit` and `signal_lead` of the job that runs into its limit; `patience_s`,
            how long one check may take.
    """
    ground = Ground(make, folder, process_environ() if environ is None else environ, **options)
    with ThreadPoolExecutor(len(DIALECT_CHECKS)) as pool:
        running = [pool.submit(run_check, check, ground) for check in DIALECT_CHECKS.values()]
        wrong = [error for one in running if (error := one.exception())]
    if wrong:
        raise AssertionError("\n".join(map(str, wrong))) from wrong[0]


def run_check(check: Callable[[Desk], None], ground: Ground) -> None:
    """Run one check, and cancel the jobs that it has left."""
    desk = Desk(ground)
    try:
        check(desk)
    except (AssertionError, FoxError, OSError) as error:
        raise AssertionError(f"{check.__name__.replace('_', ' ')}: {error}") from error
    finally:
        desk.clear()


def a_job_waits_then_runs_then_is_done(desk: Desk) -> None:
    """Each state is seen, nodes are named, and both streams are where the plan says, from the start on."""
    plan = desk.plan("life", directives=[desk.words.hold])
    job_id = desk.submit(plan, jobs.wait_at_gate, plan.folder)
    desk.wait(job_id, "PENDING")
    desk.release(job_id)
    running = desk.wait(job_id, "RUNNING")
    for file, stream in zip(plan.log_files(job_id), ("stdout", "stderr"), strict=True):
        desk.until_file_has(file, f"words for {stream}\n")
    (plan.folder / jobs.GATE).touch()
    done = desk.wait(job_id, "DONE")

    expect((bool(running.nodes), done.exit_code), (True, 0))


def a_job_that_fails_has_its_exit_code(desk: Desk) -> None:
    """FAILED, with the code by which the job's function left."""
    job_id = desk.submit(desk.plan("fails"), jobs.leave, 3)

    expect(desk.wait(job_id, "FAILED").exit_code, 3)


def jobs_are_told_apart_in_one_query(desk: Desk) -> None:
    """One that waits, one that runs, one that has ended, and one that never was; the rest is cancelled."""
    plans = [desk.plan("waits", directives=[desk.words.hold]), desk.plan("runs"), desk.plan("ends")]
    waits, runs = (desk.submit(plan, jobs.wait_at_gate, plan.folder) for plan in plans[:2])
    ends = desk.submit(plans[2], jobs.leave, 0)
    unknown = runs.replace(file_id(runs), _UNKNOWN, 1)
    desk.wait(runs, "RUNNING")
    desk.wait(ends, "DONE")
    found = desk.look(waits, runs, ends, unknown)
    strange = found.pop(unknown, None)

    expect(
        {job: info.state for job, info in found.items()}, {waits: "PENDING", runs: "RUNNING", ends: "DONE"}
    )
    assert strange is None or (strange.state, strange.raw) == ("LOST", GONE), f"never submitted: {strange}"
    desk.executor.cancel([waits, ends, unknown, runs])
    for job_id in (waits, runs):
        desk.wait(job_id, "CANCELLED")


def a_job_is_found_by_its_name(desk: Desk) -> None:
    """By no other name that begins like it, and also when it has ended: a lost reply leaves only the name."""
    marks = ("named-1", "named-11", "named-2")
    first, second, unused = (desk.plan(mark, directives=[desk.words.hold]) for mark in marks)
    ids = [desk.submit(plan, jobs.leave, 0) for plan in (first, second)]
    desk.executor.cancel(ids[1:])
    desk.wait(ids[1], "CANCELLED")

    expect([desk.executor.find(plan.name) for plan in (first, second, unused)], [ids[:1], ids[1:], []])


def a_job_is_warned_and_ends_at_its_time_limit(desk: Desk) -> None:
    """TIMEOUT; before it USR2, or at least the limit and the lead, by which the driver keeps a clock."""
    times = {"time_limit": desk.ground.time_limit, "signal_lead": desk.ground.signal_lead}
    plan = desk.plan("limit", **times)
    script = plan.folder / "warned.py"
    plan = desk.plan("limit", **times, python=f"{sys.executable} -I -S {shlex.quote(str(script))}")
    plan.folder.mkdir(parents=True)
    script.write_text(jobs.warned_script(plan.folder))
    job_id = desk.submit(plan, jobs.leave, 0)
    desk.wait(job_id, "TIMEOUT")

    desk.until_file_has(plan.folder / jobs.VALUE, f"{plan.config.time_limit_s} {plan.config.lead_s}\n")
    expect((plan.folder / jobs.WARNED).exists(), desk.words.warns)


def values_reach_every_node_unchanged(desk: Desk) -> None:
    """Commas, quotes, blanks, line ends and `$`, on both nodes of a job, by the scheduler's launcher."""
    plan = desk.plan("nodes", nodes_per_client=2)
    job_id = desk.submit(plan, jobs.write_value, plan.folder)
    desk.wait(job_id, "DONE")
    nodes = (plan.folder / jobs.NODES).read_text().split()

    expect(len(set(nodes)), 2)
    for name in (jobs.VALUE, f"{jobs.NODE}0", f"{jobs.NODE}1"):
        expect((plan.folder / name).read_text(), jobs.AWKWARD)


def a_refusal_is_told_in_the_schedulers_words(desk: Desk) -> None:
    """SubmitError for a queue that is not there; it is for good, and no job is left of it."""
    plan = desk.plan("refused", partition="no-such-queue")
    try:
        job_id = desk.submit(plan, jobs.leave, 0)
    except SubmitError as error:
        refusal = error
    else:
        raise AssertionError(f"a job for no queue was taken as {job_id}")
    said = refusal.output.strip()
    assert said, "it keeps nothing of what the scheduler said"
    assert said in str(refusal), f"it hides {said!r}"
    expect((refusal.transient, refusal.exit_code == 0), (False, False))
    expect(desk.executor.find(plan.name), [])


_CHECKS = (
    a_job_waits_then_runs_then_is_done,
    a_job_that_fails_has_its_exit_code,
    jobs_are_told_apart_in_one_query,
    a_job_is_found_by_its_name,
    a_job_is_warned_and_ends_at_its_time_limit,
    values_reach_every_node_unchanged,
    a_refusal_is_told_in_the_schedulers_words,
)
DIALECT_CHECKS = {check.__name__: check for check in _CHECKS}
