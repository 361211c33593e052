"""qsub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.attributes import exit_status
from fox_hpc.fake.pbs.details import array_id, details, job_id
from fox_hpc.fake.pbs.options import QSUB_LETTERS, VERSION, Options, directives, getopt, last, usage
from fox_hpc.fake.pbs.submission import make, tell_those_depended_on
from fox_hpc.fake.request import Refused, Request, Session

MARK = "#PBS"


def qsub(engine: Engine, request: Request, session: Session) -> None:
    """Submit; answers at once, or after the job with -W block=true."""
    if request.argv == ["--version"]:
        session.reply(f"pbs_version = {VERSION}\n")
        return
    argv, command = _without_command(request.argv)
    options, words = getopt("qsub", argv, QSUB_LETTERS)
    if command:
        _submit(engine, request, session, options, "", "STDIN", command)
    elif words and words != ["-"]:
        if len(words) > 1:
            raise usage("qsub")
        _submit(engine, request, session, options, _read(request, words[0]), Path(words[0]).name, [])
    else:
        session.listen(
            lambda message: _from_stdin(engine, request, session, options, message["stdin"]), lambda: None
        )
        session.tell({"need": "stdin"})


def _without_command(argv: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in argv:
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def _from_stdin(engine: Engine, request: Request, session: Session, options: Options, script: str) -> None:
    try:
        _submit(engine, request, session, options, script, "STDIN", [])
    except Refused as refusal:
        session.reply(err=refusal.words + "\n", code=refusal.code)


def _read(request: Request, name: str) -> str:
    path = Path(request.cwd, name)
    if path.is_dir():
        raise Refused("qsub: script not a file", 1)
    try:
        return path.read_text()
    except OSError:
        raise Refused("qsub: script file:: No such file or directory", 1) from None


def _submit(
    engine: Engine, request: Request, session: Session, options: Options, script: str, name: str,
    command: list[str],
) -> None:  # fmt: skip
    mark = last(options, "C") or request.env.get("PBS_DPREFIX") or MARK
    from_script, _ = getopt("qsub", directives(script, mark), QSUB_LETTERS)
    submission = make(engine, request, [*from_script, *options], name)
    job = submission.job
    job.script = script
    details(job).command = command
    details(job).arguments = " ".join(request.argv)
    job = engine.submit(job, submission.indexes, submission.throttle)
    tell_those_depended_on(engine, job)
    shown = array_id(engine, job) if job.array else job_id(engine, job)
    text = "" if submission.silent else f"{shown}\n"
    if not submission.block:
        session.reply(text)
        return
    session.tell({"out": text})
    _answer_when_over(engine, session, _parts(engine, job))


def _parts(engine: Engine, job: Job) -> list[Job]:
    if job.array is None:
        return [job]
    return [j for j in engine.jobs.values() if j.array and j.array.job_id == job.array.job_id]


def _answer_when_over(engine: Engine, session: Session, jobs: Sequence[Job]) -> None:
    left = {job.id for job in jobs}
    worst = [0]

    def over(job: Job) -> None:
        left.discard(job.id)
        status = exit_status(job)
        worst[0] = max(worst[0], 1 if status is None else status % 256)
        if not left:
            session.reply(code=worst[0])

    for job in jobs:
        engine.when_over(job, over)
