"""scancel."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import PENDING, RUNNING, Job
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.options import SCANCEL, parse
from fox_hpc.fake.slurm.requests import signal_number
from fox_hpc.fake.slurm.words import STATES

FILTERS = ("account", "me", "name", "jobname", "partition", "qos", "state", "user", "nodelist", "wckey")
DENIED, PENDING_CODE = 210, 228


def scancel(engine: Engine, request: Request, session: Session) -> None:
    """Cancel or signal jobs; unknown and ended ones are silently fine."""
    options, words = parse(SCANCEL, request.argv, mixed=True)
    ids = [word for text in words for word in text.split(",") if word]
    if not ids and not any(name in options for name in FILTERS):
        raise Refused("scancel: error: No job identification provided")
    for word in ids:
        if not re.fullmatch(r"\d+(_(\d+|\[[\d,\-]+\]))?(\.\w+)?", word):
            raise Refused(f"scancel: error: Invalid job id {word}")
    number = _signal(options)
    errors, code = [], 0
    for job, step in _chosen(engine, request, options, ids):
        if "verbose" in options:
            what = f"Signal {number} to" if number else "Terminating"
            errors.append(f"scancel: {what} {'step' if step else 'job'} {job.public_id}{step}")
        if not request.operator and request.uid != job.uid:
            errors.append(
                f"scancel: error: Kill job error on job id {job.public_id}: Access/permission denied"
            )
            code = DENIED
        elif number and job.state == PENDING:
            errors.append(
                f"scancel: error: Kill job error on job id {job.public_id}: Job is pending execution"
            )
            code = PENDING_CODE
        else:
            _act(engine, request, options, job, step, number)
    session.reply(err="".join(line + "\n" for line in errors), code=code)


def _signal(options: dict[str, str]) -> int:
    text = options.get("signal")
    if text is None:
        return 0
    number = signal_number(text)
    if number is None:
        raise Refused(f"scancel: error: Unknown job signal: {text}")
    return number


def _chosen(
    engine: Engine, request: Request, options: dict[str, str], ids: list[str]
) -> Iterable[tuple[Job, str]]:
    """Jobs (with `.STEP` if one is named) that are not over."""
    if ids:
        found = [(job, "".join(word.partition(".")[1:])) for word in ids
                 for job in engine.find(word.partition(".")[0])]  # fmt: skip
    else:
        found = [(job, "") for job in engine.jobs.values()]
    return [(job, step) for job, step in found if not job.is_over and _matches(job, request, options)]


def _matches(job: Job, request: Request, options: dict[str, str]) -> bool:
    user = request.user if "me" in options else options.get("user")
    states = [STATES.get(s.upper(), s.upper()) for s in options.get("state", "").split(",") if s]
    checks = [
        (user, job.user), (options.get("name") or options.get("jobname"), job.name),
        (options.get("partition"), job.queue), (options.get("account"), job.account),
        (options.get("qos"), job.qos),
    ]  # fmt: skip
    if any(asked is not None and value not in asked.split(",") for asked, value in checks):
        return False
    return not states or job.state in states


def _act(engine: Engine, request: Request, options: dict[str, str], job: Job, step: str, number: int) -> None:
    if step:
        for found in job.steps:
            if step == f".{found.id}" and found.state == RUNNING:
                engine.runner.signal_step(job, found, number or signal.SIGTERM)
                engine.runner.signal_step(job, found, signal.SIGCONT)
        return
    if number and (number != signal.SIGKILL or "batch" in options or "full" in options):
        target = "batch" if "batch" in options else "full" if "full" in options else "steps"
        engine.runner.signal(job, number, target)
        return
    engine.cancel(job, request.uid)
