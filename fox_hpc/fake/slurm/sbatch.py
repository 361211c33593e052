"""sbatch."""

from __future__ import annotations

import grp
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.fit import fit, free_nodes, task_count
from fox_hpc.fake.hostlist import compress
from fox_hpc.fake.jobs import Config, Job, Want
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.environ import clean, exported, login_environment
from fox_hpc.fake.slurm.options import SBATCH, directives, parse
from fox_hpc.fake.slurm.requests import Reader
from fox_hpc.fake.slurm.times import stamp

VERSION = "slurm-wlm 22.05.8"
ENV_OPTIONS = {
    "SBATCH_ACCOUNT": "account", "SBATCH_ARRAY_INX": "array", "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_EXCLUSIVE": "exclusive", "SBATCH_EXPORT": "export", "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node", "SBATCH_GRES": "gres", "SBATCH_JOB_NAME": "job-name",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu", "SBATCH_MEM_PER_NODE": "mem", "SBATCH_NO_REQUEUE": "no-requeue",
    "SBATCH_OPEN_MODE": "open-mode", "SBATCH_PARTITION": "partition", "SBATCH_QOS": "qos",
    "SBATCH_REQUEUE": "requeue", "SBATCH_RESERVATION": "reservation", "SBATCH_SIGNAL": "signal",
    "SBATCH_TIMELIMIT": "time", "SBATCH_WAIT": "wait", "SBATCH_WCKEY": "wckey",
}  # fmt: skip
NOT_A_SCRIPT = """\
sbatch: error: This does not look like a batch script.  The first
sbatch: error: line must start with #! followed by the path to an interpreter.
sbatch: error: For instance: #!/bin/sh"""


def sbatch(engine: Engine, request: Request, session: Session) -> None:
    """Submit; answers at once, or after the job with --wait."""
    options, words = parse(SBATCH, request.argv)
    if "version" in options:
        session.reply(VERSION + "\n")
    elif "wrap" in options:
        if words:
            raise Refused("sbatch: error: Script arguments not permitted with --wrap option", 255)
        script = f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{options['wrap']}\n"
        _submit(engine, request, session, script, [], "wrap")
    elif words:
        _submit(engine, request, session, _read(request, words[0]), words, Path(words[0]).name)
    else:
        session.listen(
            lambda message: _submit_from_stdin(engine, request, session, message["stdin"]), lambda: None
        )
        session.tell({"need": "stdin"})


def _submit_from_stdin(engine: Engine, request: Request, session: Session, script: str) -> None:
    try:
        _submit(engine, request, session, script, [], "sbatch")
    except Refused as refusal:
        session.reply(err=refusal.words + "\n", code=refusal.code)


def _read(request: Request, name: str) -> str:
    try:
        return Path(request.cwd, name).read_text()
    except OSError:
        raise Refused(f"sbatch: error: Unable to open file {name}") from None


def _submit(
    engine: Engine, request: Request, session: Session, script: str, words: list[str], name: str
) -> None:
    if not script.strip():
        raise Refused("sbatch: error: Batch script is empty!")
    if not script.startswith("#!"):
        raise Refused(NOT_A_SCRIPT)
    options = _all_options(request, script)
    reader = Reader("sbatch", options, 255)
    warnings: list[str] = []
    job = make_job(engine, request, reader, name, warnings)
    job.script, job.args = script, words[1:]
    job.command = str(Path(request.cwd, words[0])) if words else ""
    said = "".join(f"sbatch: Warning: {line}\n" for line in warnings)
    if "test-only" in options:
        session.reply(err=said + _test_only(engine, job), code=0)
        return
    indexes, throttle = _array(reader, engine.config)
    job = engine.submit(job, indexes, throttle)
    cluster = f";{engine.config.name}" if "clusters" in options else ""
    text = (
        f"{job.id}{cluster}\n" if "parsable" in options else f"Submitted batch job {job.id}{_on(options)}\n"
    )
    if "wait" not in options:
        session.reply(text, said)
        return
    session.tell({"out": text, "err": said})
    # The last job of an array ends its wait; the worst exit code of all of them counts.
    _answer_when_over(
        engine, session, [j for j in engine.jobs.values() if j.id >= job.id][: len(indexes) or 1]
    )


def _on(options: dict[str, str]) -> str:
    return f" on cluster {options['clusters']}" if "clusters" in options else ""


def _answer_when_over(engine: Engine, session: Session, jobs: Sequence[Job]) -> None:
    left = {job.id for job in jobs}
    worst = [0]

    def over(job: Job) -> None:
        left.discard(job.id)
        worst[0] = max(
            worst[0], job.code or (128 + job.signal if job.signal else 0), int(job.state != "COMPLETED")
        )
        if not left:
            session.reply(code=worst[0])

    for job in jobs:
        engine.when_over(job, over)


def _all_options(request: Request, script: str) -> dict[str, str]:
    """The command line wins over the environment, which wins over the script."""
    from_script, _ = parse(SBATCH, directives(script))
    from_env = {option: request.env[name] for name, option in ENV_OPTIONS.items() if name in request.env}
    given, _ = parse(SBATCH, request.argv)
    merged = {**from_script, **from_env, **given}
    for one, other in (("requeue", "no-requeue"), ("gres", "gpus-per-node"), ("mem", "mem-per-cpu")):
        for source in (given, from_env):
            if one in source and other not in source:
                merged.pop(other, None)
            elif other in source and one not in source:
                merged.pop(one, None)
    return merged


def make_job(engine: Engine, request: Request, reader: Reader, name: str, warnings: list[str]) -> Job:
    """The job that options ask for, checked against the cluster; not yet submitted."""
    options = reader.options
    want, limit_s = reader.want(), reader.limit()
    want = _fewer_nodes(want, warnings)
    warn, begin = reader.warn(), reader.begin(engine.now())
    queue = reader.queue(engine)
    reader.check(engine, queue, want, limit_s)
    after, any_of = reader.after()
    workdir = str(Path(request.cwd, options.get("chdir", "")))
    account, qos = _defaults(engine.config)
    default_s = engine.config.default_limit_s
    job = Job(
        id=0, name=options.get("job-name", name), user=request.user, uid=request.uid, group=_group(request),
        gid=_gid(request), queue=queue.name, want=want, workdir=workdir,
        account=options.get("account", account), qos=options.get("qos", qos),
        limit_s=limit_s or min(default_s, queue.max_time_s or default_s),
        warn=warn, begin=begin, held="hold" in options, may_requeue="no-requeue" not in options,
        after=after, any_dependency=any_of, comment=options.get("comment", ""), gres=_gres_text(options),
        kill_on_bad_dependency=options.get("kill-on-invalid-dep") == "yes",
        constraint=options.get("constraint", ""), submit_host=socket.gethostname(),
        submit_dir=request.cwd, append=options.get("open-mode", "").startswith("a"), nice=_nice(options),
    )  # fmt: skip
    job.env = _environment(engine, request, options)
    job.stdin = options.get("input", "/dev/null")
    job.stdout = options.get("output", "slurm-%A_%a.out" if "array" in options else "slurm-%j.out")
    job.stderr = options.get("error", job.stdout)
    return job


def _defaults(config: Config) -> tuple[str, str]:
    """Account and QOS of who names none: only accounting knows them."""
    if not config.accounting:
        return "", ""
    return "".join(config.accounts[:1]), "".join(config.qos[:1])


def _fewer_nodes(want: Want, warnings: list[str]) -> Want:
    if want.ntasks and want.nodes > want.ntasks:
        warnings.append(
            f"can't run {want.ntasks} processes on {want.nodes} nodes, setting nnodes to {want.ntasks}"
        )
        return replace(want, nodes=want.ntasks, max_nodes=want.ntasks)
    return want


def _environment(engine: Engine, request: Request, options: Mapping[str, str]) -> dict[str, str]:
    rule = options.get("export")
    env = exported(clean(request.env), rule, login_environment(engine.folder, request.user))
    if rule is not None and rule != "ALL":
        env["SLURM_EXPORT_ENV"] = rule
    if "open-mode" in options:
        env["SLURM_OPEN_MODE"] = options["open-mode"][:1]
    return env


def _gres_text(options: Mapping[str, str]) -> str:
    count = options.get("gpus-per-node")
    return f"gres:gpu:{count}" if count else "gres:" + options["gres"] if options.get("gres") else ""


def _nice(options: Mapping[str, str]) -> int:
    text = options.get("nice")
    return 0 if text is None else int(text or 100)


def _group(request: Request) -> str:
    if not request.operator:
        return request.user
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())


def _gid(request: Request) -> int:
    return os.getgid() if request.operator else request.uid


def _array(reader: Reader, config: Config) -> tuple[list[int], int]:
    """Indexes and throttle of --array=0-5,8%2; nothing if it is no array."""
    text = reader.options.get("array")
    if text is None:
        return [], 0
    body, _, throttle = text.partition("%")
    indexes: set[int] = set()
    for part in body.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match is None or int(match[2] or match[1]) >= config.max_array_size:
            raise reader.refused("Invalid job array specification")
        indexes |= set(range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1)))
    if not indexes or (throttle and not throttle.isdigit()):
        raise reader.refused("Invalid job array specification")
    return sorted(indexes), int(throttle or 0)


def _test_only(engine: Engine, job: Job) -> str:
    holders = [other for other in engine.jobs.values() if other.holds_nodes]
    shares = fit(job.want, free_nodes(engine.nodes.values(), holders), engine.config)
    when = engine.now()
    if shares is None:
        when += max(h.started + h.limit_s - engine.now() for h in holders)
        shares = fit(job.want, free_nodes(engine.nodes.values()), engine.config) or []
    count = sum(share.cpus for share in shares) or task_count(job.want, 1)
    return (
        f"sbatch: Job {engine.next_id()} to start at {stamp(when)} using {count} processors "
        f"on nodes {compress(s.node for s in shares)} in partition {job.queue}\n"
    )
