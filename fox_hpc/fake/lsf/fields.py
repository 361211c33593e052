"""Fields of `bjobs -o`, in IBM's names (documentation of bjobs -o; attested outputs of public projects)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import PENDING, Job
from fox_hpc.fake.lsf.environ import expand
from fox_hpc.fake.lsf.record import (
    TERM_WORDS,
    base_id,
    counted_hosts,
    exit_code,
    record,
    shown_name,
    slot_hosts,
    stat,
)
from fox_hpc.fake.lsf.wording import pending_reason, short_stamp
from fox_hpc.fake.request import Refused


@dataclass(frozen=True)
class Row:
    """One job to be shown, and how."""

    engine: Engine
    job: Job
    short_hosts: bool = False

    @property
    def hosts(self) -> list[str]:
        """Hosts in the order of ranks: one name a slot, or `2*node1` where the site shortens lists."""
        return counted_hosts(self.job) if self.short_hosts else slot_hosts(self.job)

    @property
    def is_over(self) -> bool:
        return stat(self.engine, self.job) in ("DONE", "EXIT")

    @property
    def end(self) -> float:
        return record(self.job).finished if self.is_over else 0.0

    @property
    def run_s(self) -> int:
        job = self.job
        return int((self.end or self.engine.now()) - job.started) if job.started else 0

    @property
    def pend_s(self) -> int:
        job = self.job
        return int((job.started or self.end or self.engine.now()) - job.submitted)

    @property
    def term(self) -> str:
        name = record(self.job).term if self.is_over else ""
        return f"{name}: {TERM_WORDS[name]}" if name else ""

    @property
    def code(self) -> str:
        """Empty for 0, as attested; and for a job that never ran."""
        number = exit_code(self.job) if self.is_over and self.job.started else 0
        return str(number or "")

    @property
    def limit(self) -> str:
        minutes = record(self.job).asked.run_limit_min
        return f"{minutes:.1f}" if minutes else ""


def _number(value: float) -> str:
    return str(value) if value else ""


def _moment(value: float) -> str:
    return short_stamp(value) if value else ""


def _finish(row: Row) -> str:
    """When it ended, or must end: `L` says that the latter is a limit."""
    if row.end:
        return f"{short_stamp(row.end)} L"
    if row.job.started and row.limit:
        return f"{short_stamp(row.job.started + row.job.limit_s)} L"
    return ""


@dataclass(frozen=True)
class Field:
    width: int
    value: Callable[[Row], str]


FIELDS: dict[str, Field] = {
    "JOBID": Field(7, lambda r: str(base_id(r.job))),
    "JOBINDEX": Field(8, lambda r: str(r.job.array.index if r.job.array else 0)),
    "STAT": Field(5, lambda r: stat(r.engine, r.job)),
    "USER": Field(7, lambda r: r.job.user),
    "USER_GROUP": Field(15, lambda r: record(r.job).asked.group),
    "QUEUE": Field(10, lambda r: r.job.queue),
    "JOB_NAME": Field(10, lambda r: shown_name(r.job)),
    "JOB_DESCRIPTION": Field(17, lambda r: ""),
    "PROJ_NAME": Field(11, lambda r: record(r.job).asked.project),
    "APPLICATION": Field(13, lambda r: record(r.job).asked.application),
    "JOB_GROUP": Field(10, lambda r: ""),
    "DEPENDENCY": Field(15, lambda r: record(r.job).asked.dependency),
    "COMMAND": Field(15, lambda r: record(r.job).asked.command),
    "PIDS": Field(20, lambda r: _number(r.job.pid) if r.job.started and not r.is_over else ""),
    "EXIT_CODE": Field(10, lambda r: r.code),
    "EXIT_REASON": Field(50, lambda r: r.term),
    "FROM_HOST": Field(11, lambda r: r.job.submit_host),
    "FIRST_HOST": Field(11, lambda r: r.job.nodes[0] if r.job.nodes else ""),
    "EXEC_HOST": Field(11, lambda r: ":".join(r.hosts)),
    "NEXEC_HOST": Field(10, lambda r: _number(len(r.job.nodes))),
    "ALLOC_SLOT": Field(20, lambda r: ":".join(r.hosts)),
    "NALLOC_SLOT": Field(10, lambda r: _number(len(slot_hosts(r.job)))),
    "SLOTS": Field(5, lambda r: str(len(slot_hosts(r.job)) or r.job.want.ntasks)),
    "NREQ_SLOT": Field(10, lambda r: str(r.job.want.ntasks)),
    "MIN_REQ_PROC": Field(12, lambda r: str(r.job.want.ntasks)),
    "MAX_REQ_PROC": Field(12, lambda r: str(r.job.want.ntasks)),
    "SUBMIT_TIME": Field(15, lambda r: short_stamp(r.job.submitted)),
    "START_TIME": Field(15, lambda r: _moment(r.job.started)),
    "FINISH_TIME": Field(16, _finish),
    "ESTIMATED_START_TIME": Field(20, lambda r: "" if r.job.started else _moment(r.job.planned_start)),
    "RUN_TIME": Field(15, lambda r: f"{r.run_s} second(s)"),
    "PEND_TIME": Field(12, lambda r: str(r.pend_s)),
    "TIME_LEFT": Field(11, lambda r: _time_left(r)),
    "RUNTIMELIMIT": Field(12, lambda r: r.limit),
    "PEND_REASON": Field(11, lambda r: pending_reason(r.engine, r.job) if r.job.state == PENDING else ""),
    "SUSPEND_REASON": Field(14, lambda r: ""),
    "SUB_CWD": Field(10, lambda r: r.job.submit_dir),
    "EXEC_CWD": Field(10, lambda r: r.job.workdir if r.job.started else ""),
    "EXEC_HOME": Field(10, lambda r: r.job.env.get("HOME", "") if r.job.started else ""),
    "OUTPUT_FILE": Field(11, lambda r: expand(record(r.job).asked.output, r.job)),
    "ERROR_FILE": Field(10, lambda r: expand(record(r.job).asked.error, r.job)),
    "INPUT_FILE": Field(10, lambda r: "" if r.job.stdin == "/dev/null" else r.job.stdin),
    "COMBINED_RESREQ": Field(20, lambda r: record(r.job).asked.res_req),
    "EFFECTIVE_RESREQ": Field(17, lambda r: record(r.job).asked.res_req),
    "GPU_NUM": Field(10, lambda r: _number(sum(len(s.gpus) for s in r.job.shares))),
    "NTHREADS": Field(10, lambda r: ""), "CPU_USED": Field(10, lambda r: ""), "MEM": Field(15, lambda r: ""),
    "MAX_MEM": Field(15, lambda r: ""), "SWAP": Field(15, lambda r: ""),
}  # fmt: skip
ALIASES = {
    "id": "JOBID", "index": "JOBINDEX", "name": "JOB_NAME", "proj": "PROJ_NAME", "project": "PROJ_NAME",
    "ugroup": "USER_GROUP", "app": "APPLICATION", "cmd": "COMMAND", "reason": "PEND_REASON",
    "description": "JOB_DESCRIPTION", "group": "JOB_GROUP", "nslots": "SLOTS", "eresreq": "EFFECTIVE_RESREQ",
    "estart_time": "ESTIMATED_START_TIME",
}  # fmt: skip


def _time_left(row: Row) -> str:
    if not row.limit or not row.job.started or row.is_over:
        return ""
    minutes = max(0, int(row.job.limit_s - row.run_s)) // 60
    return f"{minutes // 60}:{minutes % 60} L"


@dataclass(frozen=True)
class Format:
    """A parsed `-o`: fields with width and alignment, and the delimiter ("" = columns)."""

    columns: tuple[tuple[str, int, bool], ...]
    delimiter: str = ""


def read_format(text: str) -> Format:
    """From `"jobid:10 stat:-8 exec_host delimiter='^'"`, a minus for right-aligned."""
    match = re.search(r"delimiter\s*=\s*(['\"])(.*?)\1", text)
    delimiter = match[2] if match else ""
    columns = []
    for word in (text[: match.start()] + text[match.end() :] if match else text).split():
        name, _, width = word.partition(":")
        full = ALIASES.get(name.lower(), name.upper())
        if full not in FIELDS:
            raise Refused(f"{name}: Illegal output field name", 255)
        digits = width.lstrip("-")
        if digits and not digits.isdigit():
            raise Refused(f"{word}: Illegal output width", 255)
        columns.append((full, int(digits or FIELDS[full].width), width.startswith("-")))
    if not columns:
        raise Refused("No output field is specified", 255)
    return Format(tuple(columns), delimiter)


def table(chosen: Format, rows: Sequence[Row], heading: bool) -> str:
    """Plain output: `-` for what is empty; cut to its width with `*` before the end that is kept."""
    lines = [[name for name, _, _ in chosen.columns]] if heading else []
    lines += [[FIELDS[name].value(row) or "-" for name, _, _ in chosen.columns] for row in rows]
    if chosen.delimiter:
        return "".join(chosen.delimiter.join(cells) + "\n" for cells in lines)
    text = ""
    for cells in lines:
        padded = [
            _cell(cell, width, right) for cell, (_, width, right) in zip(cells, chosen.columns, strict=True)
        ]
        text += " ".join(padded) + " \n"
    return text


def as_json(chosen: Format, rows: Sequence[Row], unknown: Sequence[str]) -> str:
    """`-json`: every value a string, empty if there is none. The form for unknown ids is unverified."""
    records = [{name: FIELDS[name].value(row) for name, _, _ in chosen.columns} for row in rows]
    records += [{"JOBID": word, "ERROR": f"Job <{word}> is not found"} for word in unknown]
    document = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
    text = json.dumps(document, indent=2, separators=(",", ":"))
    return text.replace("/", "\\/") + "\n"


def _cell(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = "*" + text[len(text) - width + 1 :]
    return text.rjust(width) if right else text.ljust(width)
