"""pbsdsh and pbs_tmrsh, the controller's half: which tasks, on which nodes, with which environment."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Any

from fox_hpc.fake import processes
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.details import details, job_id, named
from fox_hpc.fake.pbs.environ import hosts, node_file, node_lines, task_environment
from fox_hpc.fake.pbs.options import getopt, given, last
from fox_hpc.fake.pbs.output import spool_path
from fox_hpc.fake.request import Refused, Request, Session

OUTSIDE = "not executing under PBS"
OTHER_NODES = 0x20000000


def pbsdsh(engine: Engine, request: Request, session: Session) -> None:
    """A task for each line of the node file, or for one of them with -n."""
    job = _job(engine, request, 1)
    options, words = getopt("pbsdsh", request.argv, "c:n:osv")
    if not words:
        raise Refused("usage: pbsdsh [-c copies][-o][-s][-v] -- program [args]...\n"
                      "       pbsdsh [-n nodenumber][-o][-s][-v] -- program [args]...", 2)  # fmt: skip
    lines = node_lines(job)
    if given(options, "n"):
        index = int(last(options, "n"))
        if index >= len(lines):
            raise Refused(f"pbsdsh: only {len(lines)} nodes available", 1)
        lines = lines[index : index + 1]
    elif given(options, "c"):
        copies = int(last(options, "c"))
        lines = [lines[number % len(lines)] for number in range(copies)]
    _launch(engine, session, job, lines, words, request.program, given(options, "v"))


def pbs_tmrsh(engine: Engine, request: Request, session: Session) -> None:
    """One task on the named node; ends as the task does."""
    job = _job(engine, request, 255)
    words = request.argv
    if len(words) < 2:
        raise Refused("usage: pbs_tmrsh [-n][-l username] host [-n][-l username] command", 255)
    node, *command = words
    if node not in job.nodes:
        raise Refused(f'pbs_tmrsh: host "{node}" is not a node in job <{job_id(engine, job)}>', 255)
    _launch(engine, session, job, [node], command, request.program)


def _job(engine: Engine, request: Request, code: int) -> Job:
    name = named(engine, request.env.get("PBS_JOBID", ""))
    jobs = [job for job in name.jobs(engine) if job.holds_nodes] if name else []
    if not jobs or request.env.get("PBS_ENVIRONMENT") is None:
        raise Refused(f"{request.program}: {OUTSIDE}", code)
    return jobs[0]


def _launch(
    engine: Engine, session: Session, job: Job, nodes: list[str], words: list[str], program: str,
    verbose: bool = False,
) -> None:  # fmt: skip
    lost = next((node for node in nodes if engine.nodes[node].down), "")
    if lost:
        # As recorded of a launcher that could not reach its node; the real pbsdsh's words were not.
        why = f'tm_poll(spawn): host "{lost}" err not connected (17002) 15010'
        raise Refused(f"{program}: {why}", 1 if program == "pbsdsh" else 255)

    def hear(message: Mapping[str, Any]) -> None:
        if job.holds_nodes:
            engine.runner.add_sessions(job, message["pids"])
            return
        # The job has ended while the task was being started.
        for pid in message["pids"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    session.listen(hear, lambda: None)
    stdout, stderr = (str(spool_path(engine, job, which)) for which in "oe")
    session.tell({"spawn": {
        "argv": words, "cwd": job.workdir, "stdout": stdout, "stderr": stderr,
        "umask": details(job).umask, "verbose": verbose,
        "tasks": [{"node": node, "env": _environment(engine, job, node)} for node in nodes],
    }})  # fmt: skip


def _environment(engine: Engine, job: Job, node: str) -> dict[str, str]:
    """Of one task; the node file is named on all nodes but the first, as in the real one."""
    index = hosts(job).index(node)
    started = details(job).tasks
    # The job's own process is the first task of the first node.
    started[node] = number = started.get(node, 0 if index else 1) + 1
    env = task_environment(engine, job, node, f"{OTHER_NODES * index + number:08X}")
    env[processes.STEP_TAG] = f"{job.id}.{node}.{number}"
    if index:
        env["PBS_NODEFILE"] = str(node_file(engine, job))
    return env
