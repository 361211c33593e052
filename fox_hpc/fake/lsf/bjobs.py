"""bjobs.

Tables, `-l`, `-p`, `-A` and exit codes as recorded from OpenLava: 255 for an unknown id, 254 for nothing to
show. With LSB_BJOBS_CONSISTENT_EXIT_CODE=N in the environment they are IBM's default: 0 for both, and 255 for
unknown ids beside known ones only.
"""

from __future__ import annotations

from collections.abc import Sequence

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import PENDING, Job
from fox_hpc.fake.lsf.bsub import VERSION
from fox_hpc.fake.lsf.fields import Row, as_json, read_format, table
from fox_hpc.fake.lsf.find import Index, array_spec, check_id, matches, remembered
from fox_hpc.fake.lsf.long import long_job
from fox_hpc.fake.lsf.options import BJOBS, Options, last, parse
from fox_hpc.fake.lsf.record import UNFINISHED, base_id, shown_name, stat
from fox_hpc.fake.lsf.wording import pending_reason, short_stamp
from fox_hpc.fake.request import Refused, Request, Session

HEADING = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n"
PENDING_HEADING = "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME\n"
ARRAY_HEADING = "JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP\n"
STATES = {"r": ("RUN",), "p": ("PEND", "PSUSP"), "s": ("USUSP", "SSUSP", "PSUSP"), "d": ("DONE", "EXIT")}
NOTHING = {"a": "job", "d": "DONE/EXIT job", "p": "pending job", "r": "running job", "s": "suspended job"}
NOT_FOUND, NOTHING_FOUND = 255, 254


def bjobs(engine: Engine, request: Request, session: Session) -> None:
    """Show jobs."""
    options, words = parse(BJOBS, request.argv, mixed=True)
    if "V" in options or "h" in options:
        session.reply(err=(VERSION if "V" in options else BJOBS.usage) + "\n")
        return
    words = [word for word in words if word != "0"]
    for word in words:
        check_id(word)
    if "json" in options and ("o" not in options or "noheader" in options):
        raise Refused(f"bjobs: -json goes with -o, and not with -noheader\n{BJOBS.usage}", NOT_FOUND)
    known = remembered(engine)
    index = Index(known)
    named = list({job.id: job for word in words for job in index.find(word)}.values()) if words else known
    chosen = [job for job in named if matches(job, request, options, everyone=bool(words))]
    chosen = [job for job in chosen if _state_wanted(engine, job, options, bool(words))]
    unknown = [word for word in words if not index.find(word)]
    _answer(engine, request, session, options, _in_order(engine, chosen), unknown)


def _answer(
    engine: Engine, request: Request, session: Session, options: Options, jobs: list[Job], unknown: list[str]
) -> None:
    ibm = request.env.get("LSB_BJOBS_CONSISTENT_EXIT_CODE", "").upper() == "N"
    short = request.env.get("LSB_SHORT_HOSTLIST") == "1"
    if "json" in options:
        rows = [Row(engine, job, short) for job in jobs]
        text = as_json(read_format(last(options, "o")), rows, unknown)
        if engine.trouble.now.broken_json:
            text = text[: len(text) // 2]
        session.reply(text, code=NOT_FOUND if unknown else 0)
        return
    errors = "".join(f"Job <{word}> is not found\n" for word in unknown)
    if unknown:
        session.reply(
            _text(engine, options, jobs, short) if jobs else "", errors, 0 if ibm and not jobs else NOT_FOUND
        )
    elif jobs:
        session.reply(_text(engine, options, jobs, short))
    else:
        kind = next((words for flag, words in NOTHING.items() if flag in options), "unfinished job")
        where = f" in queue <{last(options, 'q')}>" if "q" in options else ""
        session.reply(err=f"No {kind} found{where}\n", code=0 if ibm else NOTHING_FOUND)


def _state_wanted(engine: Engine, job: Job, options: Options, by_name: bool) -> bool:
    asked = [state for flag, states in STATES.items() if flag in options for state in states]
    now = stat(engine, job)
    if "a" in options or (by_name and not asked):
        return True
    return now in (asked or UNFINISHED)


def _in_order(engine: Engine, jobs: list[Job]) -> list[Job]:
    """Running ones first, ended ones last."""
    order = {"RUN": 0, "USUSP": 0, "SSUSP": 0, "UNKWN": 0, "ZOMBI": 0, "PEND": 1, "PSUSP": 1}
    return sorted(jobs, key=lambda job: (order.get(stat(engine, job), 2), job.id))


def _text(engine: Engine, options: Options, jobs: Sequence[Job], short: bool) -> str:
    heading = "noheader" not in options
    if "o" in options:
        rows = [Row(engine, job, short) for job in jobs]
        return table(read_format(last(options, "o")), rows, heading)
    if "l" in options:
        return "\n".join(long_job(engine, job) for job in jobs)
    if "A" in options:
        return (ARRAY_HEADING if heading else "") + _arrays(engine, jobs)
    if "p" in options:
        return (PENDING_HEADING if heading else "") + "".join(_waiting(engine, job) for job in jobs)
    one = _wide if "w" in options else _narrow
    return (HEADING if heading else "") + "".join(one(engine, job, short) for job in jobs)


def _start(engine: Engine, job: Job) -> str:
    return f"{base_id(job):<7d} {job.user:<7} {stat(engine, job):<5} {job.queue:<10} {job.submit_host:<11} "


def _wide(engine: Engine, job: Job, short: bool) -> str:
    hosts = ":".join(Row(engine, job, short).hosts) or "   -   "
    return f"{_start(engine, job)}{hosts:<11} {shown_name(job):<10} {short_stamp(job.submitted)}\n"


def _narrow(engine: Engine, job: Job, short: bool) -> str:
    waits = job.state == PENDING
    hosts = Row(engine, job, short).hosts or ["" if waits else "   -   "]
    start = f"{base_id(job):<7d} {_cut(job.user, 7)} {stat(engine, job):<5} {_cut(job.queue, 10)} "
    end = f"{_cut(shown_name(job), 10)} {short_stamp(job.submitted)}\n"
    first = f"{start}{_cut(job.submit_host, 11)} {_cut(hosts[0], 11)} {end}"
    return first + "".join(f"{'':45}{host}\n" for host in hosts[1:])


def _cut(text: str, width: int) -> str:
    """The end of what is too long, with a star before it."""
    return text.ljust(width) if len(text) <= width else "*" + text[len(text) - width + 1 :]


def _waiting(engine: Engine, job: Job) -> str:
    name = shown_name(job)
    head = f"{base_id(job):<7d} {_cut(job.user, 7)} {stat(engine, job):<5} {_cut(job.queue, 11)} "
    tail = f"{_cut(job.submit_host, 14)} {_cut(name, 18)} {short_stamp(job.submitted)}"
    return f"{head}{tail}\n {pending_reason(engine, job)}\n"


def _arrays(engine: Engine, jobs: Sequence[Job]) -> str:
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(base_id(job), []).append(job)
    text = ""
    for number, group in groups.items():
        states = [stat(engine, job) for job in group]
        counts = [states.count(name) for name in ("PEND", "DONE", "RUN", "EXIT", "SSUSP", "USUSP", "PSUSP")]
        shown = "{:5d}{:5d}{:5d}{:5d}{:6d}{:6d}{:6d}".format(*counts)
        text += f"{number:<8d} {_cut(array_spec(group[0]), 11)} {group[0].user:<8}{len(group):5d}{shown}\n"
    return text
