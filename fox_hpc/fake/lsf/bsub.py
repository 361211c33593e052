"""bsub: options from the line and from `#BSUB` lines of a script on stdin.

`-I`, `-Ip` and `-Is` wait like -K and print the job's output once it has ended; there is no terminal for it.
"""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.lsf import requests
from fox_hpc.fake.lsf.environ import job_file, spooled, submitted_environment
from fox_hpc.fake.lsf.options import BSUB, Options, directives, last, parse
from fox_hpc.fake.lsf.record import Asked, Record, close, exit_code
from fox_hpc.fake.lsf.report import captured, write_report
from fox_hpc.fake.lsf.wanted import requirement
from fox_hpc.fake.request import Refused, Request, Session

VERSION = "IBM Spectrum LSF Standard 10.1.0.12 as fox-hpc's fake speaks it"
HEAD = "#!/bin/sh\nLS_JOBPID=$$; export LS_JOBPID\n$LSB_TRAPSIGS\n"
"""What LSF puts before a job: signals that the job's own programs die of are survived here (recorded)."""
INTERACTIVE = ("I", "Ip", "Is")
_QUOTED = set(" \t\n;&|<>()*?[]#~'\"$`\\")


def bsub(engine: Engine, request: Request, session: Session) -> None:
    """Submit; answers at once, or after the job with -K."""
    options, words = parse(BSUB, request.argv)
    if "V" in options:
        session.reply(err=VERSION + "\n")
    elif "h" in options:
        session.reply(err=BSUB.usage + "\n")
    elif words:
        _submit(engine, request, session, options, command_line(words), "")
    else:
        session.listen(lambda message: _from_stdin(engine, request, session, message["stdin"]), lambda: None)
        session.tell({"need": "stdin"})


def _from_stdin(engine: Engine, request: Request, session: Session, script: str) -> None:
    try:
        if not script.strip():
            raise requests.refused("No command is specified.")
        options, _ = parse(BSUB, [*directives(script), *request.argv])
        command = ";".join(line for line in script.splitlines() if line)
        _submit(engine, request, session, options, command, script)
    except Refused as refusal:
        session.reply(err=refusal.words + "\n", code=refusal.code)


def command_line(words: Sequence[str]) -> str:
    """The words as one shell line; as recorded, quoted where they must be, and never the first one."""
    return " ".join([words[0], *(_quote(word) for word in words[1:])])


def _quote(word: str) -> str:
    if word and not set(word) & _QUOTED:
        return word
    if not set(word) & set('"$`\\'):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _submit(
    engine: Engine, request: Request, session: Session, options: Options, command: str, script: str
) -> None:
    name = requests.job_name(last(options, "J", default=command), engine.config.max_array_size)
    chosen, by_default = requests.queue(engine, request, options)
    job = make_job(engine, request, options, name.name, chosen.name)
    asked = _asked(request, options, command, script, job)
    _direct_output(engine, job, asked)
    body = (
        script
        if script and not script.startswith("#!")
        else '"$LSB_JOBFILENAME.shell"'
        if script
        else command
    )
    job.script = f"{HEAD}{body}\n"
    first = engine.submit(job, name.indexes, name.throttle)
    jobs = [engine.jobs[first.id + offset] for offset in range(len(name.indexes) or 1)]
    for part in jobs:
        part.details = Record(asked)
        _copy_script(engine, part, script)
        watch(engine, part)
    kind = "default queue" if by_default else "queue"
    said = f"{engine.config.chatter}Job <{first.id}> is submitted to {kind} <{chosen.name}>.\n"
    if "K" in options or any(flag in options for flag in INTERACTIVE):
        _wait(engine, session, jobs, said, interactive="K" not in options)
    else:
        session.reply(said)


def make_job(engine: Engine, request: Request, options: Options, name: str, queue_name: str) -> Job:
    """The job that options ask for, checked against the cluster; not yet submitted."""
    chosen = engine.queues[queue_name]
    needs = requirement(options.get("R", ()), engine.config.features)
    limit_s, _ = requests.run_limit(options, chosen)
    needed, any_of = requests.after(engine, last(options, "w"))
    return Job(
        id=0, name=name, user=request.user, uid=request.uid, group=_group(request),
        gid=os.getgid() if request.operator else request.uid, queue=queue_name,
        want=requests.want(engine, options, needs, requests.slots(options)),
        workdir=str(Path(request.cwd, last(options, "cwd"))), limit_s=limit_s, warn=requests.warn(options),
        held="H" in options, may_requeue="r" in options, after=needed, any_dependency=any_of,
        requeue_codes=requests.requeue_codes(options, chosen),
        stdin=last(options, "i", "is", default="/dev/null"),
        submit_host=socket.gethostname(), submit_dir=request.cwd, append=True,
        env=submitted_environment(request.env, last(options, "env") if "env" in options else None,
                                  engine.folder, request.user),
    )  # fmt: skip


def _asked(request: Request, options: Options, command: str, script: str, job: Job) -> Asked:
    minutes = job.limit_s / 60 if "W" in options else 0.0
    return Asked(
        command=command, text=script or command, slots=job.want.ntasks,
        output=last(options, "oo", "o"), error=last(options, "eo", "e"),
        overwrite_output="oo" in options, overwrite_error="eo" in options, report_by_mail="N" in options,
        direct=request.env.get("LSB_STDOUT_DIRECT", "").lower() == "y" and bool(last(options, "oo", "o")),
        project=last(options, "P", default=request.env.get("LSB_DEFAULTPROJECT", "default")),
        group=last(options, "G"), res_req=" ".join(options.get("R", ())), gpu=last(options, "gpu"),
        application=last(options, "app"), dependency=last(options, "w"), run_limit_min=minutes,
    )  # fmt: skip


def _direct_output(engine: Engine, job: Job, asked: Asked) -> None:
    """Where the processes write: as in LSF into a spooled file, whose content goes out with the report."""
    job.stdout = asked.output if asked.direct else captured(engine.folder, "out")
    job.stderr = captured(engine.folder, "err") if asked.error else job.stdout
    if asked.direct and asked.error:
        job.stderr = asked.error


def _copy_script(engine: Engine, job: Job, script: str) -> None:
    file = job_file(engine.folder, job)
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    if script.startswith("#!"):
        shell = file.with_suffix(file.suffix + ".shell")
        shell.write_text(script)
        shell.chmod(0o700)


def watch(engine: Engine, job: Job) -> None:
    """When the job is over its end is noted, and its output delivered."""
    engine.when_over(job, lambda over: _over(engine, over))


def _over(engine: Engine, job: Job) -> None:
    close(engine, job)
    write_report(engine, job)


def _wait(engine: Engine, session: Session, jobs: Sequence[Job], said: str, interactive: bool) -> None:
    left = {job.id for job in jobs}
    session.tell({"out": said, "err": "<<Waiting for dispatch ...>>\n"})

    def started(job: Job) -> None:
        session.tell({"err": f"<<Starting on {job.nodes[0]}>>\n"})

    def over(job: Job) -> None:
        left.discard(job.id)
        if left:
            return
        output = ""
        if interactive:
            output = Path(job.workdir, spooled(job.stdout, job)).read_text(errors="replace")
        session.reply(output, "" if interactive else "<<Job is finished>>\n", exit_code(job))

    def gone() -> None:
        for job in jobs:
            engine.cancel(job, job.uid)

    engine.when_started(jobs[0], lambda: started(jobs[0]))
    for job in jobs:
        engine.when_over(job, over)
    if interactive:
        session.listen(lambda message: None, gone)


def _group(request: Request) -> str:
    if not request.operator:
        return request.user
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())
