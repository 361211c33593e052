"""What LSF keeps of a job beyond what the engine keeps: how it was asked for, and what was done to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import (  # fmt: skip
    CANCELLED,
    COMPLETED,
    LAUNCH_FAILED,
    NODE_FAIL,
    PENDING,
    PREEMPTED,
    REQUEUED,
    RUNNING,
    TIMEOUT,
    Job,
)

UNFINISHED = ("PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI")
# IBM LSF 10.1 documentation, "LSF job termination reason logging"
TERM_WORDS = {
    "TERM_OWNER": "job killed by owner",
    "TERM_ADMIN": "job killed by root or LSF administrator",
    "TERM_FORCE_OWNER": "job killed by owner without time for cleanup",
    "TERM_RUNLIMIT": "job killed after reaching LSF run time limit",
    "TERM_PREEMPT": "job killed after preemption",
    "TERM_REQUEUE_OWNER": "job killed and requeued by owner",
    "TERM_ZOMBIE": "job exited while LSF is not available",
    "TERM_CWD_NOTEXIST": "current working directory does not exist on the execution host",
    "TERM_EXTERNAL_SIGNAL": "job killed by a signal external to LSF",
}


@dataclass(frozen=True)
class Asked:
    """How a job was asked for, in the words that the programs show."""

    command: str
    """As bjobs -l shows it."""
    text: str
    """As the report shows it: the command, or the whole script."""
    slots: int = 1
    output: str = ""
    error: str = ""
    overwrite_output: bool = False
    overwrite_error: bool = False
    report_by_mail: bool = False
    direct: bool = False
    """The job writes into its output file itself (LSB_STDOUT_DIRECT)."""
    project: str = "default"
    group: str = ""
    res_req: str = ""
    gpu: str = ""
    application: str = ""
    dependency: str = ""
    run_limit_min: float = 0.0


@dataclass
class Record:
    """One job's, or one array element's, past."""

    asked: Asked
    suspended: str = ""
    """USUSP or SSUSP while its processes are stopped."""
    marks: list[tuple[float, str]] = field(default_factory=list)
    """When it got which suspended state, or RUN or PEND again."""
    events: list[tuple[float, str]] = field(default_factory=list)
    """What users did to it, in bhist's words."""
    term: str = ""
    finished: float = 0.0
    zombie: bool = False
    stopped_at: float = 0.0
    limit_s: float = 0.0
    """The run limit, while the job is stopped and its time stands still."""


def record(job: Job) -> Record:
    found = job.details
    assert isinstance(found, Record)
    return found


def shown_id(job: Job) -> str:
    """The id with which users name one job: `36`, or `36[2]` for an array's element."""
    return f"{job.array.job_id}[{job.array.index}]" if job.array else str(job.id)


def base_id(job: Job) -> int:
    return job.array.job_id if job.array else job.id


def shown_name(job: Job) -> str:
    return f"{job.name}[{job.array.index}]" if job.array else job.name


def stat(engine: Engine, job: Job) -> str:
    """The state that bjobs shows; a job whose processes are being ended runs still."""
    own = record(job)
    if job.state == PENDING:
        return "PSUSP" if job.held else "PEND"
    if job.state == RUNNING or job.completing:
        return own.suspended or "RUN"
    if job.state == NODE_FAIL and job.shares and engine.nodes[job.shares[0].node].down:
        return "ZOMBI" if own.zombie else "UNKWN"
    return "DONE" if job.state == COMPLETED else "EXIT"


def exit_code(job: Job) -> int:
    """LSF's number: 128 and the signal for a job that died of one."""
    if job.signal == LAUNCH_FAILED:
        return 2
    return 128 + job.signal if job.signal else job.code


def reason_of_end(job: Job) -> str:
    """TERM_… of a job that has just ended, or nothing if it ended by itself."""
    own = record(job)
    if own.term:
        return own.term
    if job.state == CANCELLED:
        return "TERM_OWNER" if job.cancelled_by == job.uid else "TERM_ADMIN"
    known = {TIMEOUT: "TERM_RUNLIMIT", PREEMPTED: "TERM_PREEMPT", REQUEUED: "TERM_REQUEUE_OWNER",
             NODE_FAIL: "TERM_ZOMBIE"}  # fmt: skip
    if job.state in known:
        return known[job.state]
    if job.signal == LAUNCH_FAILED:
        return "TERM_CWD_NOTEXIST"
    return "TERM_EXTERNAL_SIGNAL" if job.signal else ""


def close(engine: Engine, job: Job) -> None:
    """Note how a job ended. One that ended with 0 is done, whoever had asked it to end (as recorded)."""
    own = record(job)
    own.finished, own.suspended = engine.now(), ""
    if job.started and not exit_code(job) and job.state != NODE_FAIL:
        job.state, own.term = COMPLETED, ""
    else:
        own.term = reason_of_end(job)
    engine.note(job)


def mark(engine: Engine, job: Job, state: str, event: str = "") -> None:
    own = record(job)
    own.marks.append((engine.now(), state))
    if event:
        own.events.append((engine.now(), event))


def slot_hosts(job: Job) -> list[str]:
    """One host name a slot, in the order of the ranks."""
    return [share.node for share in job.shares for _ in range(share.tasks)]


def counted_hosts(job: Job) -> list[str]:
    """`2*node1` for each host."""
    return [f"{share.tasks}*{share.node}" if share.tasks > 1 else share.node for share in job.shares]
