"""sacct."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress, ranges
from fox_hpc.fake.jobs import PENDING, Job, Step
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.schedule import named
from fox_hpc.fake.slurm.json_out import sacct_json
from fox_hpc.fake.slurm.options import SACCT, parse
from fox_hpc.fake.slurm.show import allocated_tres
from fox_hpc.fake.slurm.times import long_length, stamp
from fox_hpc.fake.slurm.words import STATES, cpu_count, node_count, sacct_exit

DEFAULT = "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode"
BRIEF = "JobID,State,ExitCode"


@dataclass(frozen=True)
class Record:
    """One line: a job, or one of its steps."""

    engine: Engine
    job: Job
    step: Step | None = None
    indexes: tuple[int, ...] = ()

    @property
    def base(self) -> str:
        array = self.job.array
        if array and self.indexes:
            return f"{array.job_id}_[{ranges(self.indexes)}{f'%{array.throttle}' if array.throttle else ''}]"
        return self.job.public_id

    def with_step(self, base: str) -> str:
        if self.step is None:
            return base
        return f"{base}.{'batch' if self.step.id < 0 else self.step.id}"

    @property
    def state(self) -> str:
        if self.step is not None:
            return self.step.state
        if self.job.state == "CANCELLED" and self.job.cancelled_by is not None:
            return f"CANCELLED by {self.job.cancelled_by}"
        return self.job.state

    @property
    def exit_code(self) -> str:
        if self.step is not None:
            return sacct_exit(self.step.code, self.step.signal)
        if self.job.state in ("COMPLETED", "FAILED"):
            return sacct_exit(self.job.code, self.job.signal)
        return "0:0"

    @property
    def times(self) -> tuple[float, float]:
        return (self.step.started, self.step.ended) if self.step else (self.job.started, self.job.ended)

    @property
    def elapsed(self) -> str:
        started, ended = self.times
        return long_length((ended or self.engine.now()) - started if started else 0)

    @property
    def nodes(self) -> list[str]:
        return self.step.nodes if self.step else self.job.nodes

    @property
    def cpus(self) -> int:
        if self.step is None:
            return cpu_count(self.job)
        own = {share.node: share.cpus for share in self.job.shares}
        return sum(self.step.cpus.values()) or sum(own.get(node, 0) for node in self.step.nodes)

    @property
    def node_text(self) -> str:
        return compress(self.nodes) or "None assigned"


def _job_only(value: Callable[[Record], str]) -> Callable[[Record], str]:
    return lambda record: "" if record.step else value(record)


FIELDS: dict[str, tuple[str, int, Callable[[Record], str]]] = {
    # Name as printed, width of the default table (negative = left), value.
    "jobid": ("JobID", -12, lambda r: r.with_step(r.base)),
    "jobidraw": ("JobIDRaw", -12, lambda r: r.with_step(str(r.job.id))),
    "jobname": ("JobName", 10, lambda r: r.step.name if r.step else r.job.name),
    "partition": ("Partition", 10, _job_only(lambda r: r.job.queue)),
    "account": ("Account", 10, lambda r: r.job.account),
    "alloccpus": ("AllocCPUS", 10, lambda r: str(r.cpus)),
    "ncpus": ("NCPUS", 10, lambda r: str(r.cpus)),
    "reqcpus": ("ReqCPUS", 8, lambda r: str(r.cpus)),
    "state": ("State", 10, lambda r: r.state),
    "exitcode": ("ExitCode", 8, lambda r: r.exit_code),
    "derivedexitcode": ("DerivedExitCode", 15, _job_only(lambda r: f"{r.job.derived_code}:0")),
    "reason": ("Reason", 22, _job_only(lambda r: "None" if r.job.state != PENDING else r.job.reason)),
    "nodelist": ("NodeList", 15, lambda r: r.node_text),
    "nnodes": ("NNodes", 8, lambda r: str(len(r.step.nodes) if r.step else node_count(r.job))),
    "allocnodes": ("AllocNodes", 10, lambda r: str(len(r.nodes))),
    "ntasks": ("NTasks", 8, lambda r: str(r.step.tasks) if r.step else ""),
    "submit": ("Submit", 19, lambda r: stamp(r.step.started if r.step else r.job.submitted)),
    "eligible": ("Eligible", 19, lambda r: stamp(r.job.eligible, "Unknown")),
    "start": ("Start", 19, lambda r: stamp(r.times[0], "Unknown")),
    "end": ("End", 19, lambda r: stamp(r.times[1], "Unknown")),
    "elapsed": ("Elapsed", 10, lambda r: r.elapsed),
    "elapsedraw": (
        "ElapsedRaw",
        10,
        lambda r: str(int((r.times[1] or r.engine.now()) - r.times[0]) if r.times[0] else 0),
    ),
    "timelimit": ("Timelimit", 10, _job_only(lambda r: long_length(r.job.limit_s))),
    "timelimitraw": ("TimelimitRaw", 10, _job_only(lambda r: str(int(r.job.limit_s // 60)))),
    "alloctres": ("AllocTRES", 10, lambda r: allocated_tres(r.job)),
    "reqtres": ("ReqTRES", 10, _job_only(lambda r: allocated_tres(r.job))),
    "user": ("User", 9, _job_only(lambda r: r.job.user)),
    "uid": ("UID", 6, _job_only(lambda r: str(r.job.uid))),
    "group": ("Group", 9, _job_only(lambda r: r.job.group)),
    "qos": ("QOS", 10, _job_only(lambda r: r.job.qos)),
    "cluster": ("Cluster", 10, lambda r: r.engine.config.name),
    "workdir": ("WorkDir", 20, _job_only(lambda r: r.job.workdir)),
    "comment": ("Comment", 14, _job_only(lambda r: r.job.comment)),
    "priority": ("Priority", 10, _job_only(lambda r: str(r.job.priority))),
    "restarts": ("Restarts", 8, _job_only(lambda r: str(r.job.restarts))),
    "maxrss": ("MaxRSS", 10, lambda r: "" if r.step is None else "0"),
}


def sacct(engine: Engine, request: Request, session: Session) -> None:
    """Accounting records of jobs and steps."""
    options, _ = parse(SACCT, request.argv, mixed=True)
    if not engine.config.accounting:
        raise Refused("Slurm accounting storage is disabled")
    columns = _columns(options, request)
    jobs = _asked_for(engine, request, options)
    if "json" in options:
        session.reply(sacct_json(engine, jobs))
        return
    records = list(_records(engine, jobs, options))
    heading = "noheader" not in options
    session.reply(_bars(columns, records, options, heading) if _is_parsed(options)
                  else _table(columns, records, heading))  # fmt: skip


def _is_parsed(options: dict[str, str]) -> bool:
    return "parsable" in options or "parsable2" in options


def _columns(options: dict[str, str], request: Request) -> list[tuple[str, int]]:
    """Names and widths (0 = the default's)."""
    text = (
        options.get("format") or request.env.get("SACCT_FORMAT") or (BRIEF if "brief" in options else DEFAULT)
    )
    found = []
    for item in filter(None, text.split(",")):
        name, _, width = item.partition("%")
        if name.lower() not in FIELDS:
            raise Refused(f'sacct: error: Invalid field requested: "{name}"')
        found.append((name.lower(), int(width) if width.lstrip("-").isdigit() else 0))
    return found


def _asked_for(engine: Engine, request: Request, options: dict[str, str]) -> list[Job]:
    known = {job.id: job for job in engine.accounted()}
    ids = [word for word in options.get("jobs", "").split(",") if word]
    for word in ids:
        if not re.fullmatch(r"\d+(_\d+|_\[.*\])?(\.\w+)?", word):
            raise Refused(f"sacct: fatal: Bad job/step specified: {word}")
    if ids:
        found = {job.id: job for word in ids for job in named(word.partition(".")[0], known)}
        jobs = [known[number] for number in sorted(found)]
    else:
        user = options.get("user")
        jobs = [
            job
            for job in known.values()
            if "allusers" in options or job.user in (user or request.user).split(",")
        ]
    if "name" in options:
        jobs = [job for job in jobs if job.name in options["name"].split(",")]
    states = {STATES.get(word.upper(), word.upper()) for word in options.get("state", "").split(",") if word}
    return [job for job in jobs if not states or job.state in states]


def _records(engine: Engine, jobs: list[Job], options: dict[str, str]) -> Iterator[Record]:
    waiting: dict[int, list[int]] = {}
    for job in jobs:
        if job.array and job.state == PENDING and not job.restarts:
            waiting.setdefault(job.array.job_id, []).append(job.array.index)
    for job in jobs:
        if job.array and job.state == PENDING and not job.restarts:
            indexes = tuple(waiting.pop(job.array.job_id, ()))
            if indexes:
                yield Record(engine, job, None, indexes)
            continue
        if "duplicates" in options:
            for past in _past_runs(job):
                yield from _with_steps(engine, past, options)
        yield from _with_steps(engine, job, options)


def _past_runs(job: Job) -> Iterator[Job]:
    for run in job.runs:
        past = copy.copy(job)
        past.state, past.started, past.ended = run.state, run.started, run.ended
        past.shares, past.steps = run.shares, run.steps
        yield past


def _with_steps(engine: Engine, job: Job, options: dict[str, str]) -> Iterator[Record]:
    yield Record(engine, job)
    if "allocations" not in options:
        for step in job.steps:
            yield Record(engine, job, step)


def _bars(
    columns: list[tuple[str, int]], records: list[Record], options: dict[str, str], heading: bool
) -> str:
    bar = options.get("delimiter", "|")
    last = bar if "parsable" in options else ""
    lines = [bar.join(FIELDS[name][0] for name, _ in columns)] if heading else []
    lines += [bar.join(FIELDS[name][2](record) for name, _ in columns) for record in records]
    return "".join(line + last + "\n" for line in lines)


def _table(columns: list[tuple[str, int]], records: list[Record], heading: bool) -> str:
    widths = [width or FIELDS[name][1] for name, width in columns]
    lines = []
    if heading:
        lines.append([FIELDS[name][0].center(abs(w)) for (name, _), w in zip(columns, widths, strict=True)])
        lines.append(["-" * abs(width) for width in widths])
    for record in records:
        cells = [FIELDS[name][2](record) for name, _ in columns]
        lines.append([_cut(cell, width) for cell, width in zip(cells, widths, strict=True)])
    return "".join(" ".join(line) + " \n" for line in lines)


def _cut(text: str, width: int) -> str:
    """A column's text; what is too long ends in a plus."""
    size = abs(width)
    short = text if len(text) <= size else text[: size - 1] + "+"
    return short.ljust(size) if width < 0 else short.rjust(size)
