"""`bjobs -l`, and the records of `bhist -l`, as recorded from OpenLava; `Completed <exit>` is IBM's."""

from __future__ import annotations

from collections.abc import Iterator

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import FAILED, PENDING, Job, Run
from fox_hpc.fake.lsf.record import (
    TERM_WORDS,
    Asked,
    exit_code,
    record,
    shown_id,
    shown_name,
    slot_hosts,
    stat,
)
from fox_hpc.fake.lsf.wording import long_stamp, pending_reason, wrapped

SCHEDULING = """
 SCHEDULING PARAMETERS:
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -  
 loadStop    -     -     -     -       -     -    -     -     -      -      -  

"""  # noqa: W291


def long_job(engine: Engine, job: Job) -> str:
    """All about one job."""
    now, asked = stat(engine, job), record(job).asked
    head = [
        f"Job <{shown_id(job)}>",
        f"Job Name <{shown_name(job)}>",
        f"User <{job.user}>",
        f"Project <{asked.project}>",
    ]
    head += _given([("Application", asked.application), ("User Group", asked.group)])
    head += [f"Status <{now}>", f"Queue <{job.queue}>", f"Command <{asked.command}>"]
    text = (
        "\n" + wrapped(", ".join(head)) + wrapped(_submitted(job, "") + ";") + limit_lines(job, job.nodes[:1])
    )
    if job.started:
        text += wrapped(f"{long_stamp(job.started)}: {_started(job)}{_execution(job)}")
    if now in ("USUSP", "SSUSP", "RUN") and record(job).suspended:
        when, words = record(job).events[-1]
        text += wrapped(f"{long_stamp(when)}: {words};")
    if now in ("DONE", "EXIT"):
        text += "".join(wrapped(f"{long_stamp(record(job).finished)}: {line}") for line in ending(job, "."))
    if job.state == PENDING:
        text += f" PENDING REASONS:\n {pending_reason(engine, job)}\n"
    return text + SCHEDULING


def _given(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{name} <{value}>" for name, value in pairs if value]


def _submitted(job: Job, queue: str) -> str:
    """`Submitted from host <…>, CWD <…>, Output File <…>, 4 Processors Requested, …`."""
    asked: Asked = record(job).asked
    home = job.env.get("HOME", "")
    cwd = "$HOME" + job.workdir.removeprefix(home) if home and job.workdir.startswith(home) else job.workdir
    parts = [
        f"Submitted from host <{job.submit_host}>",
        *([f"to Queue <{queue}>"] if queue else []),
        f"CWD <{cwd}>",
    ]
    parts += _given([("Output File", asked.output), ("Error File", asked.error)])
    if asked.slots > 1:
        parts.append(f"{asked.slots} Processors Requested")
    parts += _given([("Requested Resources", asked.res_req), ("Requested GPU", asked.gpu),
                     ("Dependency Condition", asked.dependency)])  # fmt: skip
    return f"{long_stamp(job.submitted)}: {', '.join(parts)}"


def limit_lines(job: Job, host: list[str]) -> str:
    minutes = record(job).asked.run_limit_min
    if not minutes:
        return ""
    return f"\n RUNLIMIT                \n {minutes:.1f} min of {(host or [job.submit_host])[0]:<13}\n"


def _hosts(names: list[str]) -> str:
    listed = " ".join(f"<{name}>" for name in names)
    return f"{len(names)} Hosts/Processors {listed}" if len(names) > 1 else listed


def _started(job: Job) -> str:
    index = f"[{job.array.index}] started" if job.array else "Started"
    return f"{index} on {_hosts(slot_hosts(job))}"


def _execution(job: Job) -> str:
    return f", Execution Home <{job.env.get('HOME', '/')}>, Execution CWD <{job.workdir}>;"


def ending(job: Job, stop: str) -> list[str]:
    """How it ended: one line, and a second if something ended it."""
    used = f" The CPU time used is 0.0 seconds{stop}"
    if not job.started:
        lines = ["Exited" + (";" if stop == ";" else "")]
    elif not exit_code(job):
        return [f"Done successfully.{used}"]
    else:
        lines = [f"Exited with exit code {exit_code(job)}.{used}"]
    term = record(job).term
    if term:
        lines.append(f"Completed <exit>; {term}: {TERM_WORDS[term]}{stop}")
    return lines


def past(job: Job) -> list[tuple[float, str]]:
    """What happened to a job, in order, for bhist -l; without its submission."""
    own = record(job)
    found = [(when, f"{words};") for when, words in own.events]
    runs = [(run.started, _slots(run), run.ended, _code(run)) for run in job.runs]
    if job.started:
        runs.append((job.started, slot_hosts(job), 0.0, ""))
    for started, hosts, ended, code in runs:
        found += [(started, line) for line in _dispatched(job, hosts)]
        if ended:
            found.append((ended, "Pending: Requeued job is waiting for rescheduling: 1 host;" + code))
    if own.finished:
        found += [(own.finished, line) for line in ending(job, ";")]
    if own.finished and not exit_code(job) and job.started:
        found.append((own.finished, "Post job process done successfully;"))
    # Stable: what happens in one second stays in the order of the list, as each source has its own.
    return sorted(found, key=lambda item: item[0])


def _slots(run: Run) -> list[str]:
    return [share.node for share in run.shares for _ in range(share.tasks)]


def _code(run: Run) -> str:
    """Exit code of a run that ended by itself, with one that puts the job back."""
    return f"(exit code {run.steps[0].code})" if run.state == FAILED and run.steps else ""


def _dispatched(job: Job, hosts: list[str]) -> Iterator[str]:
    home = job.env.get("HOME", "/")
    yield f"Dispatched to {_hosts(hosts)};"
    yield f"Starting (Pid {job.pid});"
    yield f"Running with execution home <{home}>, Execution CWD <{job.workdir}>, Execution Pid <{job.pid}>;"


def history(job: Job) -> str:
    """The record of bhist -l, without the summary of times."""
    asked = record(job).asked
    head = [
        f"Job <{shown_id(job)}>",
        f"Job Name <{shown_name(job)}>",
        f"User <{job.user}>",
        f"Project <{asked.project}>",
    ]
    text = (
        "\n"
        + wrapped(", ".join([*head, f"Command <{asked.command}>"]))
        + wrapped(_submitted(job, job.queue) + ";")
    )
    text += limit_lines(job, [])
    return text + "".join(wrapped(f"{long_stamp(when)}: {words}") for when, words in past(job))
