"""bhist: what LSF's event log says, which is later than bjobs, or nothing, as accounting is switched."""

from __future__ import annotations

from itertools import pairwise

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.lsf.bsub import VERSION
from fox_hpc.fake.lsf.find import by_id, check_id, matches
from fox_hpc.fake.lsf.long import history
from fox_hpc.fake.lsf.options import BHIST, parse
from fox_hpc.fake.lsf.record import base_id, record, shown_name, stat
from fox_hpc.fake.lsf.wording import long_stamp
from fox_hpc.fake.request import Request, Session

STATES = ("PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN")
HEADING = "JOBID   USER    JOB_NAME  PEND    PSUSP   RUN     USUSP   SSUSP   UNKWN   TOTAL\n"


def bhist(engine: Engine, request: Request, session: Session) -> None:
    """Show what happened to jobs; without ids and -a or -d, to those that are not over."""
    options, words = parse(BHIST, request.argv, mixed=True)
    if "V" in options or "h" in options:
        session.reply(err=(VERSION if "V" in options else BHIST.usage) + "\n")
        return
    for word in words:
        check_id(word)
    known = [job for job in engine.accounted() if job.details] if engine.config.accounting else []
    jobs = [job for word in words for job in by_id(known, word)] if words else [
        job for job in known if matches(job, request, options)
        and ("a" in options or ("d" in options) == (stat(engine, job) in ("DONE", "EXIT")))
    ]  # fmt: skip
    missing = [word for word in words if not by_id(known, word)]
    errors = "".join(f"Job <{word}>: No matching job found\n" for word in missing)
    if not jobs:
        session.reply(err=errors or "No matching job found\n", code=255)
        return
    text = _long(engine, jobs) if "l" in options else _short(engine, jobs)
    session.reply(text, errors, 255 if missing else 0)


def _short(engine: Engine, jobs: list[Job]) -> str:
    text = "Summary of time in seconds spent in various states:\n" + HEADING
    for job in jobs:
        seconds = _seconds(engine, job)
        cells = "".join(f"{seconds[name]:<8d}" for name in STATES)
        who = f"{base_id(job):<7d} {job.user:<7} {shown_name(job)[:9]:<9}"
        text += f"{who} {cells}{sum(seconds.values()):<8d}  \n"
    return text + "\n"


def _long(engine: Engine, jobs: list[Job]) -> str:
    parts = []
    for job in jobs:
        seconds = _seconds(engine, job)
        when = long_stamp(record(job).finished or engine.now())
        cells = "".join(f"{seconds[name]:<9d}" for name in STATES)
        parts.append(
            f"{history(job)}\nSummary of time in seconds spent in various states by  {when}\n"
            "  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL\n"
            f"  {cells}{sum(seconds.values()):<9d}   \n"
        )
    rule = "-" * 78 + "\n"
    return rule.join(parts) + "\n"


def _seconds(engine: Engine, job: Job) -> dict[str, int]:
    """Whole seconds in each state, from submission to the end or to now."""
    own = record(job)
    points = [(job.submitted, "PSUSP" if job.held and not own.marks else "PEND"), *own.marks]
    for run in job.runs:
        points += [(run.started, "RUN"), (run.ended, "PEND")]
    if job.started:
        points.append((job.started, "RUN"))
    points.sort(key=lambda point: point[0])
    points.append((own.finished or engine.now(), ""))
    seconds = dict.fromkeys(STATES, 0.0)
    for (since, state), (until, _) in pairwise(points):
        if state in seconds:
            seconds[state] += max(0.0, until - since)
    return {state: round(value) for state, value in seconds.items()}
