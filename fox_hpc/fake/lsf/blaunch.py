"""blaunch, the controller's half: tasks on the hosts of the job it is called in.

From IBM's page on blaunch, and from public programs that use it (torchrun and Ray launchers; Open MPI's and
PRRTE's LSF modules, which take LSF_PM_TASKID as counting from 1). One word is run by a shell, several as
they are. That a task gets the environment blaunch itself has is documented for the submission's variables and
unverified for what a script exports; what the real one says about a host that is not the job's is not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fox_hpc.fake import processes
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import RUNNING, Job, Share, Step
from fox_hpc.fake.lsf.bsub import VERSION
from fox_hpc.fake.lsf.environ import node_variables
from fox_hpc.fake.lsf.find import by_id
from fox_hpc.fake.lsf.options import BLAUNCH, Options, last, parse
from fox_hpc.fake.lsf.record import shown_id, slot_hosts
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.follower import Follower, StepEnd


def blaunch(engine: Engine, request: Request, session: Session) -> None:
    """Run a command on hosts of the job; ends when all tasks have, with the worst exit code."""
    options, words = parse(BLAUNCH, request.argv)
    if "V" in options or "h" in options:
        session.reply(err=(VERSION if "V" in options else BLAUNCH.usage) + "\n")
        return
    job = calling_job(engine, request, "blaunch")
    hosts, words = _hosts(engine, request, options, words, job)
    if not words:
        raise Refused(f"blaunch: no command is given\n{BLAUNCH.usage}", 255)
    shares = {share.node: share for share in job.shares}
    for host in hosts:
        if host not in shares:
            raise Refused(f"blaunch: host <{host}> is not allocated to job <{shown_id(job)}>", 255)
    argv = ["/bin/sh", "-c", words[0]] if len(words) == 1 else ["/bin/sh", "-c", 'exec "$@"', "sh", *words]
    tasks = [
        task(rank, shares[host], {"LSF_PM_TASKID": str(rank + 1), **node_variables(shares[host])})
        for rank, host in enumerate(hosts)
    ]
    launch(engine, request, session, job, argv, tasks, stdin="none" if "n" in options else "all")


def calling_job(engine: Engine, request: Request, program: str) -> Job:
    """The job that a program is called in; raises Refused outside of one."""
    base, index = request.env.get("LSB_JOBID", ""), request.env.get("LSB_JOBINDEX", "0")
    if not base.isdigit():
        raise Refused(f"{program}: LSB_JOBID is not set: {program} works inside an LSF job only", 255)
    name = base if index in ("", "0") else f"{base}[{index}]"
    found = by_id([job for job in engine.jobs.values() if job.state == RUNNING], name)
    if not found:
        raise Refused(f"{program}: Job <{name}>: No matching job found", 255)
    return found[0]


def task(rank: int, share: Share, env: dict[str, str]) -> dict[str, Any]:
    return {"rank": rank, "node": share.node, "env": {**env, processes.NODE_TAG: share.node}}


def launch(
    engine: Engine, request: Request, session: Session, job: Job, argv: list[str],
    tasks: list[dict[str, Any]], stdin: str,
) -> None:  # fmt: skip
    """Have the calling program start these tasks as a step of the job."""
    hosts = list(dict.fromkeys(str(each["node"]) for each in tasks))
    step = Step(job.next_step, request.program, hosts, engine.now(), tasks=len(tasks))
    job.next_step += 1
    job.steps.append(step)
    follower = Follower(engine, StepEnd(session, False), job, step)
    engine.runner.add_step(job, step, session, request.pid)
    session.listen(follower.hear, follower.gone)
    engine.note(job)
    name = f"{job.id}.{step.id}"
    marks = {processes.TAG: f"{engine.runner.cluster}:{job.id}", processes.STEP_TAG: name}
    plan = {
        "step": f"step {name}", "argv": argv, "cwd": request.cwd, "env": {**request.env, **marks},
        "tasks": tasks, "stdin": stdin, "label": False, "mode": "wb", "kill_on_bad_exit": False, "wait": 0,
        "speaks": False,
    }  # fmt: skip
    session.tell({"launch": plan})


def _hosts(
    engine: Engine, request: Request, options: Options, words: list[str], job: Job
) -> tuple[list[str], list[str]]:
    """Hosts of -z or -u, the first word if that is a host, or one for each slot; and the command."""
    if "z" in options:
        return last(options, "z").split(), words
    if "u" in options:
        try:
            return Path(request.cwd, last(options, "u")).read_text().split(), words
        except OSError as error:
            raise Refused(f"blaunch: {last(options, 'u')}: {error.strerror}", 255) from None
    if len(words) > 1 and words[0] in engine.nodes:
        return words[:1], words[1:]
    return slot_hosts(job), words
