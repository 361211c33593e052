"""bkill, bstop, bresume, brequeue, bpeek. Texts and codes as recorded from OpenLava; bkill -r and brequeue's
options after IBM's pages on them."""

from __future__ import annotations

import signal
from collections.abc import Callable

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import CANCELLED, NODE_FAIL, PENDING, RUNNING, Job
from fox_hpc.fake.lsf import options as tables
from fox_hpc.fake.lsf.bsub import VERSION, watch
from fox_hpc.fake.lsf.find import by_id, check_id, is_unfinished, matches, remembered
from fox_hpc.fake.lsf.options import Options, Table, last, parse
from fox_hpc.fake.lsf.record import mark, record, shown_id, stat
from fox_hpc.fake.lsf.report import captured_file
from fox_hpc.fake.lsf.requests import NO_LIMIT_S, signal_number
from fox_hpc.fake.request import Refused, Request, Session

FILTERS = ("m", "q", "u", "J", "g", "app")
RESUME_S = 0.3
"""How long a resumed job is SSUSP, until the next pass of the scheduler."""
Act = Callable[[Job], str]
"""Does something to one job and gives what is said about it; raises Refused."""


def bkill(engine: Engine, request: Request, session: Session) -> None:
    """End jobs, or send them a signal."""
    options, words = _read(tables.BKILL, request, session)
    if words is None:
        return
    number = 0
    if "s" in options:
        number = signal_number(last(options, "s")) or _refuse(f"{last(options, 's')}: Illegal signal value.")
    act = (lambda job: _signal(engine, job, number)) if number not in (0, signal.SIGKILL) else None
    _each(
        engine,
        request,
        session,
        options,
        words,
        act or (lambda job: _kill(engine, request, job, "r" in options)),
    )


def bstop(engine: Engine, request: Request, session: Session) -> None:
    """Stop running jobs, hold waiting ones."""
    options, words = _read(tables.BSTOP, request, session)
    if words is not None:
        _each(engine, request, session, options, words, lambda job: _stop(engine, job))


def bresume(engine: Engine, request: Request, session: Session) -> None:
    """Let stopped and held jobs go on."""
    options, words = _read(tables.BRESUME, request, session)
    if words is not None:
        _each(engine, request, session, options, words, lambda job: _resume(engine, job))


def brequeue(engine: Engine, request: Request, session: Session) -> None:
    """Put running jobs (ended ones with -d, -e or -a) back into the queue, with the same id."""
    options, words = _read(tables.BREQUEUE, request, session)
    if words is not None:
        _each(
            engine,
            request,
            session,
            options,
            words,
            lambda job: _requeue(engine, request, options, job),
            " :",
        )


def bpeek(engine: Engine, request: Request, session: Session) -> None:
    """Show what a running job has written so far."""
    options, words = _read(tables.BPEEK, request, session)
    if words is None:
        return
    running = [job for job in remembered(engine) if job.state == RUNNING and matches(job, request, options)]
    found = [job for word in words for job in by_id(running, word)] if words else running[-1:]
    if not found:
        raise Refused(f"Job <{words[0]}> : Not yet started." if words else "No running job found", 255)
    file = captured_file(engine.folder, found[0], "out")
    text = file.read_text(errors="replace") if file.exists() else ""
    session.reply(text + "<< output from stdout >>\n")


def _refuse(words: str) -> int:
    raise Refused(words, 255)


def _read(table: Table, request: Request, session: Session) -> tuple[Options, list[str] | None]:
    options, words = parse(table, request.argv, mixed=True)
    if "V" in options or "h" in options:
        session.reply(err=(VERSION if "V" in options else table.usage) + "\n")
        return options, None
    for word in words:
        check_id(word)
    if not words and table is not tables.BPEEK and not any(name in options for name in FILTERS):
        complaint = "Job ID or one of '-m', '-u' '-q' and '-J' must be specified."
        raise Refused(f"{complaint}\n{table.usage}", 255)
    return options, words


def _each(
    engine: Engine,
    request: Request,
    session: Session,
    options: Options,
    words: list[str],
    act: Act,
    colon: str = ":",
) -> None:
    """Act on all jobs that are named; what goes wrong with one does not stop the others."""
    out, err = [], []
    for name, jobs in _targets(engine, request, options, words):
        if not jobs:
            err.append(f"Job <{name}>{colon} No matching job found")
        said = set()
        for job in jobs:
            try:
                _may(request, job)
                said.add(f"Job <{name or shown_id(job)}> {act(job)}")
            except Refused as refusal:
                err.append(f"Job <{name or shown_id(job)}>{colon} {refusal.words}")
        out += sorted(said)
        if said and len(jobs) > 1:
            # Elements that were over already do not spoil the answer about their array.
            err = [line for line in err if not line.startswith(f"Job <{name}>")]
    text = "".join(line + "\n" for line in out)
    session.reply(text, "".join(line + "\n" for line in dict.fromkeys(err)), 255 if err else 0)


def _targets(
    engine: Engine, request: Request, options: Options, words: list[str]
) -> list[tuple[str, list[Job]]]:
    known = remembered(engine)
    if words and words != ["0"]:
        return [(word, by_id(known, word)) for word in words]
    mine = [job for job in known if is_unfinished(engine, job) and matches(job, request, options)]
    return [("", [job]) for job in mine] or [("0", [])]


def _may(request: Request, job: Job) -> None:
    if not request.operator and request.uid not in (job.uid, 0):
        raise Refused("User permission denied")


def _kill(engine: Engine, request: Request, job: Job, at_once: bool) -> str:
    own, now = record(job), stat(engine, job)
    if now in ("UNKWN", "ZOMBI"):
        own.zombie = True
        if at_once:
            own.term, job.state = "TERM_FORCE_OWNER", CANCELLED
    elif now in ("DONE", "EXIT"):
        raise Refused("Job has already finished")
    else:
        mark(
            engine,
            job,
            "RUN" if own.suspended else now,
            f"Signal <KILL> requested by user or administrator <{request.user}>",
        )
        if own.suspended:
            own.events.append((engine.now(), "Running"))
        own.suspended = ""
        if at_once:
            own.term = "TERM_FORCE_OWNER"
            engine.runner.signal(job, signal.SIGKILL, "full")
        if job.completing:
            # It has been told of its limit, or to come back, and is ending: it has no time left for that now.
            job.state, job.requeue_after_end, job.cancelled_by = CANCELLED, False, request.uid
            engine.runner.stop(job, "")
        else:
            engine.cancel(job, request.uid)
    return "is being terminated"


def _signal(engine: Engine, job: Job, number: int) -> str:
    if job.state != RUNNING:
        raise Refused("Job has not started yet")
    if number in (signal.SIGSTOP, signal.SIGTSTP):
        _stop(engine, job)
    elif number == signal.SIGCONT:
        _resume(engine, job)
    else:
        engine.runner.signal(job, number, "full")
    return "is being signaled"


def _stop(engine: Engine, job: Job) -> str:
    if job.state == PENDING:
        engine.hold(job)
        mark(engine, job, "PSUSP", "Suspended by the user or administrator")
    elif job.state == RUNNING:
        engine.runner.signal(job, signal.SIGSTOP, "full")
        if not record(job).suspended:
            record(job).stopped_at, record(job).limit_s = engine.now(), job.limit_s
        record(job).suspended = "USUSP"
        # The limit is one of the time that the job runs.
        engine.set_limit(job, NO_LIMIT_S)
        mark(engine, job, "USUSP", "Suspended by the user or administrator")
    else:
        raise Refused("Job has already finished")
    engine.note(job)
    return "is being stopped"


def _resume(engine: Engine, job: Job) -> str:
    own = record(job)
    if job.state == PENDING and job.held:
        engine.release(job)
        mark(engine, job, "PEND", "Pending: Waiting for scheduling after resumed by user")
    elif job.state == RUNNING and own.suspended:
        own.suspended = "SSUSP"
        mark(engine, job, "SSUSP", "Suspended:  Waiting for re-scheduling after being resumed by user")
        engine.loop.later(RESUME_S, lambda: _run_on(engine, job))
    elif job.is_over:
        raise Refused("Job has already finished")
    else:
        raise Refused("Operation is not allowed: the job is not suspended")
    engine.note(job)
    return "is being resumed"


def _run_on(engine: Engine, job: Job) -> None:
    if record(job).suspended == "SSUSP":
        own = record(job)
        own.suspended = ""
        mark(engine, job, "RUN", "Running")
        engine.set_limit(job, own.limit_s + (engine.now() - own.stopped_at) / engine.config.time_scale)
        engine.runner.signal(job, signal.SIGCONT, "full")


def _requeue(engine: Engine, request: Request, options: Options, job: Job) -> str:
    now = stat(engine, job)
    wanted = {"DONE": "d", "EXIT": "e"}.get(now)
    if wanted and "a" not in options and wanted not in options:
        raise Refused("Job has already finished")
    if now in ("PEND", "PSUSP"):
        raise Refused("Job has not started yet")
    own = record(job)
    own.events.append(
        (engine.now(), f"Signal <REQUEUE_PEND> requested by user or administrator <{request.user}>")
    )
    own.suspended, own.term, own.finished = "", "", 0.0
    if job.is_over and not job.completing and job.state != NODE_FAIL:
        watch(engine, job)
    engine.requeue(job)
    if "H" in options:
        job.held = True
    return "is being requeued "
