"""qstat -Q and -B: queues and the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job, Queue
from fox_hpc.fake.pbs.attributes import state
from fox_hpc.fake.pbs.details import is_finished
from fox_hpc.fake.pbs.options import Options, given, last
from fox_hpc.fake.pbs.resources import clock
from fox_hpc.fake.pbs.show import document, long_form

QUEUES = """\
Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type
---------------- ----- ----- --- --- ----- ----- ----- ----- ----- ----- ----
"""
SERVER = """\
Server             Max   Tot   Que   Run   Hld   Wat   Trn   Ext Status
---------------- ----- ----- ----- ----- ----- ----- ----- ----- -----------
"""
COLUMNS = "QRHWTE"
NAMES = (("Transit", "T"), ("Queued", "Q"), ("Held", "H"), ("Waiting", "W"), ("Running", "R"),
         ("Exiting", "E"), ("Begun", "B"))  # fmt: skip


def show_queues(engine: Engine, options: Options, words: list[str]) -> tuple[str, str, int]:
    """Text, complaints and exit code."""
    wrong = [word for word in words if word not in engine.queues]
    chosen = [queue for name, queue in engine.queues.items() if not words or name in words]
    err = "".join(f"qstat: Unknown queue {word}\n" for word in wrong)
    code = 170 if wrong else 0
    records = {queue.name: _record(engine, queue) for queue in chosen}
    if given(options, "f") and last(options, "F").lower() == "json":
        broken = engine.trouble.now.broken_json
        return document(engine.now(), engine.config.server_name, "Queue", records, broken), err, code
    if given(options, "f"):
        return "".join(long_form(f"Queue: {n}", r, False) for n, r in records.items()), err, code
    lines = [_line(engine, queue) for queue in chosen]
    return (QUEUES + "".join(lines) if lines else ""), err, code


def show_server(engine: Engine) -> str:
    jobs = _there(engine, engine.jobs.values())
    letters = Counter(state(engine, job)[0] for job in jobs)
    counts = " ".join(f"{letters[letter]:>5}" for letter in COLUMNS)
    return SERVER + f"{engine.config.server_name:<16} {0:>5} {len(jobs):>5} {counts} Active    \n"


def _there(engine: Engine, jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if not is_finished(engine, job)]


def _line(engine: Engine, queue: Queue) -> str:
    jobs = _there(engine, (job for job in engine.jobs.values() if job.queue == queue.name))
    letters = Counter(state(engine, job)[0] for job in jobs)
    counts = " ".join(f"{letters[letter]:>5}" for letter in COLUMNS)
    open_, started = ("yes" if flag else " no" for flag in (queue.enabled, queue.up))
    return f"{queue.name:<16} {0:>5} {len(jobs):>5} {open_} {started} {counts} Exe*\n"


def _record(engine: Engine, queue: Queue) -> dict[str, Any]:
    jobs = _there(engine, (job for job in engine.jobs.values() if job.queue == queue.name))
    letters = Counter(state(engine, job)[0] for job in jobs)
    record: dict[str, Any] = {"queue_type": "Execution"}
    if queue.tier != 10:
        record["Priority"] = queue.tier
    record |= {
        "total_jobs": len(jobs),
        "state_count": "".join(f"{name}:{letters[letter]} " for name, letter in NAMES),
    }
    if queue.max_time_s:
        record["resources_max"] = {"walltime": clock(queue.max_time_s)}
    shares = [share for job in jobs if job.holds_nodes for share in job.shares]
    if shares:
        memory = sum(share.mem_mb for share in shares)
        record["resources_assigned"] = {**({"mem": f"{memory}mb"} if memory else {}),
                                        "ncpus": sum(share.cpus for share in shares),
                                        "nodect": len(shares)}  # fmt: skip
    return record | {"enabled": str(queue.enabled), "started": str(queue.up)}
