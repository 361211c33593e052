"""qdel, qsig, qhold, qrls, qrerun, qalter: each over several ids, whose last error is the exit code."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import cast

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import PENDING, RUNNING, Job
from fox_hpc.fake.pbs.attributes import owner
from fox_hpc.fake.pbs.details import Named, details, has_history, is_finished, named
from fox_hpc.fake.pbs.options import Options, every, getopt, given, last, usage
from fox_hpc.fake.pbs.resources import clock, seconds
from fox_hpc.fake.pbs.server import Server
from fox_hpc.fake.request import Request, Session

FINISHED, UNKNOWN_ID, DENIED, BAD_SIGNAL, BAD_VALUE, RUNS, BAD_STATE, TIMED_OUT, NOT_RERUNNABLE = (
    35, 153, 159, 165, 166, 167, 168, 163, 190)  # fmt: skip
NOT_ALLOWED = ("Unauthorized Request ", DENIED)
RERUN_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.03

Complaint = tuple[str, int] | None
Action = Callable[[Server, Request, Job, Options], Complaint]


def each_job(program: str, letters: str, action: Action) -> Callable[[Engine, Request, Session], None]:
    """A program that does one thing to each job that it is given."""

    def run(engine: Engine, request: Request, session: Session) -> None:
        options, words = getopt(program, request.argv, letters)
        if not words:
            raise usage(program)
        errors, code = [], 0
        for word in words:
            complaint = _on_word(cast("Server", engine), request, word, options, program, action)
            if complaint:
                errors.append(f"{program}: {complaint[0]}\n")
                code = complaint[1]
        session.reply(err="".join(errors), code=code)

    return run


def _on_word(
    engine: Server, request: Request, word: str, options: Options, program: str, action: Action
) -> Complaint:
    name = named(engine, word)
    if name is None:
        return f"illegally formed job identifier: {word}", 1
    jobs = name.jobs(engine)
    ended = [job for job in jobs if is_finished(engine, job)]
    if not jobs or (ended == jobs and not any(has_history(engine, job) for job in jobs)):
        return f"Unknown Job Id {name}", UNKNOWN_ID
    if program == "qdel" and given(options, "x"):
        return _forget(engine, jobs, ended, action, request, options)
    if ended == jobs and program != "qrls":
        return f"Job has finished {name}", FINISHED
    if any(not request.operator and job.uid != request.uid for job in jobs):
        return f"{NOT_ALLOWED[0]} {name}", DENIED
    return _on_jobs(engine, request, name, jobs, options, action)


def _on_jobs(
    engine: Server, request: Request, name: Named, jobs: list[Job], options: Options, action: Action
) -> Complaint:
    for job in jobs:
        if is_finished(engine, job):
            continue
        complaint = action(engine, request, job, options)
        if complaint:
            return f"{complaint[0]} {name}", complaint[1]
    return None


def _forget(
    engine: Server, jobs: list[Job], ended: list[Job], action: Action, request: Request, options: Options
) -> Complaint:
    """Also out of the history."""
    for job in jobs:
        if job in ended:
            del engine.jobs[job.id]
        else:
            action(engine, request, job, options)
    return None


def _delete(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
    host = owner(engine, job).partition("@")[2]
    engine.delete(job, f"{request.user}@{host}", forced="force" in every(options, "W"))
    return None


def _signal(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
    text = last(options, "s", "TERM")
    if text in ("suspend", "resume", "admin-suspend", "admin-resume"):
        return _suspend(engine, request, job, "resume" in text)
    number = _number(text)
    if number is None:
        return "Unknown/illegal signal name", BAD_SIGNAL
    if job.state != RUNNING:
        return "Request invalid for state of job", BAD_STATE
    engine.runner.signal(job, number, "session")
    return None


def _suspend(engine: Server, request: Request, job: Job, resume: bool) -> Complaint:
    if not request.operator:
        return NOT_ALLOWED
    if job.state != RUNNING or job.suspended != resume:
        return "Request invalid for state of job", BAD_STATE
    if resume:
        # It goes on as soon as there is room.
        details(job).until_told = False
        engine.reschedule()
    else:
        engine.suspend(job, until_told=True)
    return None


def _number(text: str) -> int | None:
    if text.isdigit():
        return int(text) if int(text) < signal.NSIG else None
    name = text if text.startswith("SIG") else f"SIG{text}"
    found = getattr(signal.Signals, name, None)
    return int(found) if found is not None else None


def _hold(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
    if job.state == PENDING:
        engine.hold(job)
    else:
        when = time.ctime(engine.now())
        details(job).held_words = f"Job held by {request.user} on {when}"
    return None


def _release(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
    details(job).held_words = ""
    if job.held:
        engine.release(job)
    return None


def _alter(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
    for letter, value in options:
        if letter == "l":
            complaint = _alter_resource(engine, request, job, value)
            if complaint:
                return complaint
        elif letter == "N":
            job.name = value
        elif letter == "A":
            job.account = value
        elif letter == "r":
            job.may_requeue = value == "y"
        elif letter == "p":
            details(job).priority = int(value)
    return None


def _alter_resource(engine: Server, request: Request, job: Job, text: str) -> Complaint:
    name, _, value = text.partition("=")
    if name != "walltime":
        if job.state == RUNNING:
            return f"Cannot modify attribute while job running  Resource_List.{name}", RUNS
        return f"Illegal attribute or resource value Resource_List.{name}", BAD_VALUE
    try:
        limit_s = seconds(value)
    except ValueError:
        return "Illegal attribute or resource value Resource_List.walltime", BAD_VALUE
    if job.state == RUNNING and limit_s > job.limit_s and not request.operator:
        return NOT_ALLOWED
    shown = details(job).resources.shown
    shown["walltime"] = clock(limit_s)
    engine.set_limit(job, limit_s)
    return None


def qrerun(engine: Engine, request: Request, session: Session) -> None:
    """Put running jobs back; for managers only, and answers when their processes are gone."""
    options, words = getopt("qrerun", request.argv, "W:")
    if not words:
        raise usage("qrerun")
    waiting: list[tuple[Job, str, int]] = []

    def rerun(engine: Server, request: Request, job: Job, options: Options) -> Complaint:
        if not request.operator:
            return NOT_ALLOWED
        if job.state != RUNNING:
            return "Request invalid for state of job", BAD_STATE
        if not job.may_requeue:
            return "job is not rerunnable", NOT_RERUNNABLE
        waiting.append((job, word, job.restarts))
        engine.requeue(job)
        return None

    errors, code = [], 0
    for word in words:
        complaint = _on_word(cast("Server", engine), request, word, options, "qrerun", rerun)
        if complaint:
            errors.append(f"qrerun: {complaint[0]}\n")
            code = complaint[1]
    _answer_when_back(engine, session, waiting, "".join(errors), code)


def _answer_when_back(
    engine: Engine, session: Session, waiting: list[tuple[Job, str, int]], err: str, code: int
) -> None:
    deadline = engine.now() + RERUN_TIMEOUT_S

    def look() -> None:
        left = [word for job, word, before in waiting if job.restarts == before and not job.is_over]
        left += [word for job, word, before in waiting if job.completing]
        if not left:
            session.reply(err=err, code=code)
        elif engine.now() > deadline:
            words = f"qrerun: Response timed out. Job rerun request still in progress for {left[0]}\n"
            session.reply(err=err + words, code=TIMED_OUT)
        else:
            engine.loop.later(LOOK_AGAIN_S, look)

    look()


qdel = each_job("qdel", "W:x", _delete)
qsig = each_job("qsig", "s:", _signal)
qhold = each_job("qhold", "h:", _hold)
qrls = each_job("qrls", "h:t:", _release)
qalter = each_job("qalter", "a:A:c:e:h:j:k:l:m:M:N:o:p:P:r:R:S:u:W:", _alter)
