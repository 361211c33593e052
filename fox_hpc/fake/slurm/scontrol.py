"""scontrol."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress, expand
from fox_hpc.fake.jobs import PENDING, RUNNING, Job
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.options import SCONTROL, parse
from fox_hpc.fake.slurm.show import VERSION, show_job, show_node, show_partition
from fox_hpc.fake.slurm.times import parse_length, parse_moment

Command = Callable[[Engine, Request, list[str], dict[str, str]], str]


def scontrol(engine: Engine, request: Request, session: Session) -> None:
    """Look at, and change, jobs and nodes."""
    options, words = parse(SCONTROL, request.argv)
    if "version" in options:
        session.reply(f"slurm-wlm {VERSION}\n")
        return
    if not words:
        raise Refused("scontrol: error: interactive use is not in the fake; name a command")
    name = words[0].lower()
    found = [full for full in COMMANDS if full.startswith(name)]
    if not found:
        raise Refused(f"invalid keyword: {words[0]}")
    # Options may also stand behind the command.
    more, rest = parse(SCONTROL, words[1:], mixed=True)
    session.reply(COMMANDS[found[0]](engine, request, rest, {**options, **more}))


def _show(engine: Engine, request: Request, words: list[str], options: dict[str, str]) -> str:
    if not words:
        raise Refused("too few arguments for keyword:show")
    what, names = words[0].lower(), words[1:]
    one_line = "oneliner" in options
    if "=" in what:
        what, _, value = words[0].partition("=")
        what, names = what.lower(), [value]
    for prefix, show in SHOWS.items():
        if what.startswith(prefix):
            return show(engine, request, names, one_line)
    raise Refused(f"invalid entity:{words[0]} for keyword:show ")


def _show_jobs(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    if names:
        jobs = engine.find(names[0])
        if not jobs:
            raise Refused("slurm_load_jobs error: Invalid job id specified")
    else:
        jobs = [job for job in engine.jobs.values() if engine.remembers(job)]
        if not jobs:
            return "No jobs in the system\n"
    return "".join(show_job(engine, job, one_line) for job in jobs)


def _show_nodes(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    wanted = expand(names[0]) if names else list(engine.nodes)
    for name in wanted:
        if name not in engine.nodes:
            raise Refused(f"Node {name} not found")
    return "".join(show_node(engine, engine.nodes[name], one_line) for name in wanted)


def _show_partitions(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    wanted = names or list(engine.queues)
    for name in wanted:
        if name not in engine.queues:
            raise Refused(f"Partition {name} not found")
    return "".join(show_partition(engine, engine.queues[name], one_line) for name in wanted)


def _show_hostnames(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    text = names[0] if names else request.env.get("SLURM_JOB_NODELIST", "")
    if not text:
        raise Refused("SLURM_JOB_NODELIST environment variable not set")
    try:
        return "".join(f"{name}\n" for name in expand(text))
    except ValueError:
        raise Refused(f"Invalid hostlist: {text}") from None


def _show_hostlist(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    return compress(name for text in names[:1] for name in text.split(",")) + "\n"


def _show_config(engine: Engine, request: Request, names: list[str], one_line: bool) -> str:
    config = engine.config
    values = {
        "AccountingStorageType": "accounting_storage/" + ("slurmdbd" if config.accounting else "none"),
        "ClusterName": config.name,
        "KillWait": f"{int(config.kill_wait_s)} sec",
        "MaxArraySize": str(config.max_array_size),
        "MinJobAge": f"{int(config.min_job_age_s)} sec",
        "PreemptMode": "REQUEUE",
        "PreemptType": "preempt/partition_prio",
        "SLURM_VERSION": VERSION,
        "SchedulerType": "sched/backfill",
        "SlurmctldHost[0]": socket.gethostname(),
    }
    lines = [f"{name:<23} = {value}" for name, value in values.items()]
    return (
        "Configuration data as of now\n"
        + "\n".join(lines)
        + "\n\nSlurmctld(primary) at "
        + (f"{socket.gethostname()} is UP\n")
    )


def _ping(engine: Engine, request: Request, words: list[str], options: dict[str, str]) -> str:
    return f"Slurmctld(primary) at {socket.gethostname()} is UP\n"


def _write(engine: Engine, request: Request, words: list[str], options: dict[str, str]) -> str:
    if words[:1] != ["batch_script"] or len(words) < 2:
        raise Refused("invalid entity for keyword:write")
    jobs = engine.find(words[1])
    if not jobs:
        raise Refused("job script retrieval failed: Invalid job id specified")
    if words[2:] == ["-"]:
        return jobs[0].script
    path = words[2] if len(words) > 2 else f"slurm-{jobs[0].id}.sh"
    from pathlib import Path

    Path(request.cwd, path).write_text(jobs[0].script)
    return f"batch script for job {jobs[0].id} written to {path}\n"


def _each_job(action: Callable[[Engine, Job], str]) -> Command:
    """A command over job ids; what one of them refuses is said after the others are done."""

    def run(engine: Engine, request: Request, words: list[str], options: dict[str, str]) -> str:
        complaints = []
        for word in [part for text in words for part in re.split(r",(?![^\[]*\])", text)]:
            complaints += _on_job(engine, request, word, action)
        if complaints:
            raise Refused("\n".join(complaints))
        return ""

    return run


def _on_job(engine: Engine, request: Request, word: str, action: Callable[[Engine, Job], str]) -> list[str]:
    jobs = engine.find(word)
    if not jobs:
        return [f"Invalid job id specified for job {word}"]
    denied = not request.operator and any(job.uid != request.uid for job in jobs)
    if denied:
        return [f"Access/permission denied for job {word}"]
    return [f"{answer} for job {word}" for job in jobs if (answer := action(engine, job))][:1]


def _requeue(engine: Engine, job: Job) -> str:
    if job.state == PENDING:
        return "Job is pending execution"
    if not job.batch:
        return "Only batch jobs are accepted or processed"
    if not job.may_requeue:
        return "Requested operation is presently disabled"
    engine.requeue(job)
    return ""


def _requeue_hold(engine: Engine, job: Job) -> str:
    complaint = _requeue(engine, job)
    return complaint or _hold(engine, job)


def _hold(engine: Engine, job: Job) -> str:
    if job.is_over and not job.requeue_after_end:
        return "Job/step already completing or completed"
    engine.hold(job)
    return ""


def _release(engine: Engine, job: Job) -> str:
    if job.is_over:
        return "Job/step already completing or completed"
    engine.release(job)
    return ""


def _update(engine: Engine, request: Request, words: list[str], options: dict[str, str]) -> str:
    pairs = {key.lower(): value for key, _, value in (word.partition("=") for word in words)}
    if "nodename" in pairs:
        return _update_node(engine, request, pairs)
    job_id = pairs.pop("jobid", pairs.pop("job", ""))
    if not job_id:
        raise Refused('No valid entity in update command\nInput line must include "NodeName", "JobId" …')

    def change(engine: Engine, job: Job) -> str:
        return next(
            filter(None, (_set(engine, request, job, key, value) for key, value in pairs.items())), ""
        )

    return _each_job(change)(engine, request, [job_id], options)


def _set(engine: Engine, request: Request, job: Job, key: str, value: str) -> str:
    """Change one property; gives the complaint."""
    if key == "timelimit":
        return _set_limit(engine, request, job, value)
    if key in ("starttime", "eligibletime"):
        moment = parse_moment(value, engine.now())
        if moment is None:
            return "Invalid time specification"
        # As in the real one: lost unless the job is waiting.
        if job.state == PENDING:
            job.begin = moment
            engine.reschedule()
        return ""
    plain = {"comment": "comment", "jobname": "name", "name": "name", "account": "account", "qos": "qos"}
    if key in plain:
        setattr(job, plain[key], value)
    elif key == "priority":
        job.priority = int(value)
        engine.reschedule()
    elif key == "requeue":
        job.may_requeue = value not in ("0", "no")
    elif key == "partition" and value in engine.queues:
        job.queue = value
        engine.reschedule()
    else:
        return "Requested operation is not supported"
    return ""


def _set_limit(engine: Engine, request: Request, job: Job, value: str) -> str:
    seconds = parse_length(value.lstrip("+-"))
    if seconds is None:
        return "Invalid time limit specification"
    if value[0] in "+-":
        seconds = job.limit_s + (seconds if value[0] == "+" else -seconds)
    if seconds > job.limit_s and not request.operator:
        return "Access/permission denied"
    if job.state not in (PENDING, RUNNING):
        return "Job/step already completing or completed"
    engine.set_limit(job, seconds)
    return ""


def _update_node(engine: Engine, request: Request, pairs: dict[str, str]) -> str:
    if not request.operator:
        raise Refused("slurm_update error: Invalid user id")
    for name in expand(pairs["nodename"]):
        node = engine.nodes.get(name)
        if node is None:
            raise Refused("slurm_update error: Invalid node name specified")
        state, reason = pairs.get("state", "").lower(), pairs.get("reason", "")
        if state in ("down", "drain") and not reason:
            # The real one asks for a reason too, but a test of node failure need not have one.
            reason = "update"
        if state in ("down", "fail"):
            engine.fail_node(node, reason)
        elif state in ("drain", "draining"):
            node.drained, node.reason = True, reason
        elif state in ("resume", "idle", "undrain"):
            node.down = node.drained = False
            node.reason = "none"
        else:
            raise Refused(f"Invalid input: state={state}\nRequest aborted")
    engine.reschedule()
    return ""


SHOWS: dict[str, Callable[[Engine, Request, list[str], bool], str]] = {
    "job": _show_jobs, "node": _show_nodes, "part": _show_partitions, "hostn": _show_hostnames,
    "hostl": _show_hostlist, "conf": _show_config,
}  # fmt: skip

COMMANDS: dict[str, Command] = {
    "show": _show, "ping": _ping, "hold": _each_job(_hold), "uhold": _each_job(_hold),
    "release": _each_job(_release), "requeue": _each_job(_requeue), "requeuehold": _each_job(_requeue_hold),
    "update": _update, "write": _write,
}  # fmt: skip
