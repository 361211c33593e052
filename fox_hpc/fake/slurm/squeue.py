"""squeue."""

from __future__ import annotations

import contextlib
import pwd
import re
import time
from dataclasses import dataclass

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress, expand, ranges
from fox_hpc.fake.jobs import PENDING, RUNNING, Job
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.columns import Field, named, render, render_named
from fox_hpc.fake.slurm.json_out import squeue_json
from fox_hpc.fake.slurm.options import SQUEUE, parse
from fox_hpc.fake.slurm.show import dependency_text, end_time, start_time
from fox_hpc.fake.slurm.times import short_length, stamp
from fox_hpc.fake.slurm.words import SHORT_STATES, STATES, cpu_count, node_count, shown_state

DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
START = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"
SHOWN = {PENDING, RUNNING, "COMPLETING", "SUSPENDED"}


@dataclass(frozen=True)
class Row:
    """One line: a job, or the waiting tasks of an array folded into one."""

    engine: Engine
    job: Job
    indexes: tuple[int, ...] = ()

    @property
    def array_tasks(self) -> str:
        array = self.job.array
        if array is None:
            return "N/A"
        if not self.indexes:
            return str(array.index)
        return ranges(self.indexes) + (f"%{array.throttle}" if array.throttle else "")

    @property
    def shown_id(self) -> str:
        array = self.job.array
        return f"{array.job_id}_[{self.array_tasks}]" if array and self.indexes else self.job.public_id

    @property
    def raw_id(self) -> str:
        return str(self.job.array.job_id if self.job.array and self.indexes else self.job.id)

    @property
    def elapsed_s(self) -> float:
        job = self.job
        return (job.ended or self.engine.now()) - job.started if job.started else 0

    @property
    def reason_or_nodes(self) -> str:
        if self.job.state == RUNNING or self.job.completing or self.job.state == "COMPLETED":
            return compress(self.job.nodes)
        return f"({self.job.reason})"


FIELDS: dict[str, Field[Row]] = {
    "i": Field("JOBID", lambda r: r.shown_id),
    "A": Field("JOBID", lambda r: r.raw_id),
    "F": Field("ARRAY_JOB_ID", lambda r: str(r.job.array.job_id if r.job.array else r.job.id)),
    "K": Field("ARRAY_TASK_ID", lambda r: r.array_tasks),
    "j": Field("NAME", lambda r: r.job.name),
    "T": Field("STATE", lambda r: shown_state(r.job)),
    "t": Field("ST", lambda r: SHORT_STATES[shown_state(r.job)]),
    "r": Field("REASON", lambda r: r.job.reason),
    "R": Field("NODELIST(REASON)", lambda r: r.reason_or_nodes),
    "D": Field("NODES", lambda r: str(node_count(r.job))),
    "N": Field("NODELIST", lambda r: compress(r.job.nodes)),
    "B": Field("EXEC_HOST", lambda r: r.job.nodes[0] if r.job.nodes else "n/a"),
    "P": Field("PARTITION", lambda r: r.job.queue),
    "u": Field("USER", lambda r: r.job.user),
    "U": Field("UID", lambda r: str(r.job.uid)),
    "g": Field("GROUP", lambda r: r.job.group),
    "a": Field("ACCOUNT", lambda r: r.job.account or "(null)"),
    "q": Field("QOS", lambda r: r.job.qos or "(null)"),
    "M": Field("TIME", lambda r: short_length(r.elapsed_s)),
    "l": Field("TIME_LIMIT", lambda r: short_length(r.job.limit_s)),
    "L": Field("TIME_LEFT", lambda r: short_length(max(0, r.job.limit_s - r.elapsed_s))),
    "S": Field("START_TIME", lambda r: stamp(start_time(r.job))),
    "V": Field("SUBMIT_TIME", lambda r: stamp(r.job.submitted)),
    "e": Field("END_TIME", lambda r: stamp(end_time(r.job))),
    "Q": Field("PRIORITY", lambda r: str(r.job.priority)),
    "p": Field("PRIORITY", lambda r: f"{r.job.priority / 2**32:.14f}"),
    "C": Field("CPUS", lambda r: str(cpu_count(r.job))),
    "m": Field("MIN_MEMORY", lambda r: f"{r.job.want.mem_mb or r.job.want.mem_per_cpu_mb or 500}M"),
    "b": Field("TRES_PER_NODE", lambda r: r.job.gres or "N/A"),
    "E": Field("DEPENDENCY", lambda r: dependency_text(r.job)),
    "Y": Field("SCHEDNODES", lambda r: compress(r.job.planned_nodes) or "(null)"),
    "Z": Field("WORK_DIR", lambda r: r.job.workdir),
    "o": Field("COMMAND", lambda r: r.job.command or "(null)"),
    "k": Field("COMMENT", lambda r: r.job.comment or "(null)"),
    "f": Field("FEATURES", lambda r: r.job.constraint or "(null)"),
    "n": Field("REQ_NODES", lambda r: compress(r.job.want.require)),
    "x": Field("EXC_NODES", lambda r: compress(r.job.want.exclude)),
}

NAMED: dict[str, Field[Row]] = {
    "jobid": Field("JOBID", lambda r: r.raw_id),
    "jobarrayid": FIELDS["i"], "arrayjobid": FIELDS["F"], "arraytaskid": FIELDS["K"], "name": FIELDS["j"],
    "state": FIELDS["T"], "statecompact": FIELDS["t"], "reason": FIELDS["r"], "reasonlist": FIELDS["R"],
    "numnodes": FIELDS["D"], "nodelist": FIELDS["N"], "batchhost": FIELDS["B"], "partition": FIELDS["P"],
    "username": FIELDS["u"], "userid": FIELDS["U"], "account": FIELDS["a"], "qos": FIELDS["q"],
    "timeused": FIELDS["M"], "timelimit": FIELDS["l"], "timeleft": FIELDS["L"], "starttime": FIELDS["S"],
    "submittime": FIELDS["V"], "endtime": FIELDS["e"], "prioritylong": FIELDS["Q"], "numcpus": FIELDS["C"],
    "dependency": FIELDS["E"], "workdir": FIELDS["Z"], "command": FIELDS["o"], "comment": FIELDS["k"],
    "tres-per-node": FIELDS["b"], "schednodes": FIELDS["Y"],
    "restartcnt": Field("RESTART_COUNT", lambda r: str(r.job.restarts)),
    "exit_code": Field("EXIT_CODE", lambda r: str(r.job.code)),
    "stdout": Field("STDOUT", lambda r: r.job.stdout), "stderr": Field("STDERR", lambda r: r.job.stderr),
}  # fmt: skip


def squeue(engine: Engine, request: Request, session: Session) -> None:
    """List jobs."""
    options, words = parse(SQUEUE, request.argv, mixed=True)
    if words:
        # The value of -j is optional to the reader of options: in `-j 12`, 12 is a word by itself.
        options["jobs"] = ",".join(filter(None, [options.get("jobs", ""), *words]))
    if "json" in options:
        # As the real one: --json does not heed -j.
        session.reply(squeue_json(engine))
        return
    err = _check_user(options, request)
    jobs = [job for job in _asked_for(engine, options) if _matches(engine, job, request, options)]
    if "start" in options:
        jobs = [job for job in jobs if job.state == PENDING]
    rows = _rows(engine, _in_order(jobs), unfold="array" in options)
    heading = "noheader" not in options
    if "Format" in options:
        session.reply(render_named(named(options["Format"]), NAMED, rows, heading), err)
        return
    text = options.get("format") or request.env.get("SQUEUE_FORMAT") or DEFAULT
    if "start" in options and "format" not in options:
        text = START
    head = ""
    if "long" in options and "format" not in options:
        text, head = LONG, time.strftime("%a %b %d %H:%M:%S %Y\n") if heading else ""
    session.reply(head + render(text, FIELDS, rows, heading), err)


def _check_user(options: dict[str, str], request: Request) -> str:
    bad = []
    for name in filter(None, options.get("user", "").split(",")):
        if name != request.user:
            with contextlib.suppress(KeyError, ValueError):
                pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
                continue
            bad.append(name)
    return "".join(f"squeue: error: Invalid user: {name}\n\n" for name in bad)


def _asked_for(engine: Engine, options: dict[str, str]) -> list[Job]:
    """All remembered jobs, or those of -j; one id that nobody knows is an error, several are not."""
    ids = [word for word in options.get("jobs", "").split(",") if word]
    if not ids:
        return [job for job in engine.jobs.values() if engine.remembers(job)]
    for word in ids:
        if not re.fullmatch(r"\d+(_\d+|_\[.*\])?", word):
            raise Refused(f"squeue: error: Invalid job id: {word}")
    found = {job.id: job for word in ids for job in engine.find(word)}
    if len(ids) == 1 and not found:
        raise Refused("slurm_load_jobs error: Invalid job id specified")
    return list(found.values())


def _matches(engine: Engine, job: Job, request: Request, options: dict[str, str]) -> bool:
    users = request.user if "me" in options else options.get("user")
    checks = [
        (users, {job.user, str(job.uid)}), (options.get("name"), {job.name}),
        (options.get("partition"), {job.queue}), (options.get("account"), {job.account}),
        (options.get("qos"), {job.qos}),
    ]  # fmt: skip
    if any(asked is not None and not values & set(asked.split(",")) for asked, values in checks):
        return False
    if options.get("nodelist") and not set(expand(options["nodelist"])) & set(job.nodes):
        return False
    return _state_wanted(job, options)


def _state_wanted(job: Job, options: dict[str, str]) -> bool:
    asked = {word.upper() for word in options.get("states", "").split(",") if word}
    if not asked:
        return shown_state(job) in SHOWN
    full = {STATES.get(word, word) for word in asked}
    unknown = full - set(SHORT_STATES) - {"ALL"}
    if unknown:
        raise Refused(
            f"squeue: error: Invalid job state specified: {min(unknown)}\n"
            f"squeue: error: Valid job states include: {','.join(SHORT_STATES)}"
        )
    return "ALL" in full or bool(full & {job.state, shown_state(job)})


def _in_order(jobs: list[Job]) -> list[Job]:
    """By partition, state, and priority, which is squeue's own order."""
    order = list(SHORT_STATES)
    rank = {job.id: order.index(job.state) for job in jobs}
    return sorted(jobs, key=lambda job: (job.queue, rank[job.id], -job.priority, job.id))


def _rows(engine: Engine, jobs: list[Job], unfold: bool) -> list[Row]:
    rows: list[Row] = []
    folded: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        if unfold or job.array is None or job.state != PENDING:
            rows.append(Row(engine, job))
            continue
        # A task that was put back has an id of its own, and is listed by itself.
        key = (job.array.job_id, job.id if job.restarts else 0)
        if key in folded:
            folded[key].append(job)
        else:
            folded[key] = [job]
            rows.append(Row(engine, job))
    for number, row in enumerate(rows):
        array = row.job.array
        group = folded.get((array.job_id, row.job.id if row.job.restarts else 0)) if array else None
        if group and row.job.state == PENDING and not row.job.restarts and array:
            rows[number] = Row(engine, row.job, tuple(j.array.index for j in group if j.array))
    return rows
