"""What bjobs says: states, reasons of an end, and readers of its answers. No I/O.

The states are those of bjobs(1), "Job status"; the reasons those of the administrator's guide, "Viewing
information about job termination".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .dialect import Answer, JobInfo, JobState, Reading

# bjobs(1), "stat". What EXIT means is told by the reason beside it.
STATES: dict[str, JobState] = {
    "PEND": "PENDING",
    "PROV": "PENDING",  # its host is switched on
    "PSUSP": "PENDING",  # held, or stopped while it waited
    "WAIT": "PENDING",  # a member of a chunk that waits for the one before
    "RUN": "RUNNING",
    "USUSP": "RUNNING",  # stopped by its owner or an administrator
    "SSUSP": "RUNNING",  # stopped by LSF, for another job or for the host's load
    "UNKWN": "RUNNING",  # its host does not answer, and may come back
    "DONE": "DONE",
    "EXIT": "FAILED",
    "PDONE": "DONE",  # and its post-processing, too
    "PERR": "DONE",  # its post-processing failed, it did not
    "ZOMBI": "LOST",  # ended while its host did not answer
}

# "exit_reason" of bjobs -o; those that are not here leave a job FAILED (memory, swap, threads, signals).
REASONS: dict[str, JobState] = {
    "TERM_ADMIN": "CANCELLED",
    "TERM_BUCKET_KILL": "CANCELLED",  # bkill -b
    "TERM_CHKPNT": "PREEMPTED",  # ended after its checkpoint
    "TERM_CPULIMIT": "TIMEOUT",
    "TERM_CSM_ALLOC": "LOST",  # CSM did not give or keep its nodes
    "TERM_DEADLINE": "TIMEOUT",
    "TERM_FORCE_ADMIN": "CANCELLED",
    "TERM_FORCE_OWNER": "CANCELLED",
    "TERM_LOAD": "PREEMPTED",  # its host has too much load
    "TERM_ORPHAN_SYSTEM": "CANCELLED",  # what it depends on cannot come true
    "TERM_OWNER": "CANCELLED",
    "TERM_PREEMPT": "PREEMPTED",
    "TERM_RC_RECLAIM": "PREEMPTED",  # its host went back to the cloud
    "TERM_REMOVE_HUNG_JOB": "LOST",
    "TERM_REQUEUE_ADMIN": "PREEMPTED",
    "TERM_REQUEUE_OWNER": "PREEMPTED",
    "TERM_RUNLIMIT": "TIMEOUT",
    "TERM_WINDOW": "PREEMPTED",  # its queue's hours are over
    "TERM_ZOMBIE": "LOST",  # ended while LSF was away
}

#: What `bjobs -o` is asked for, in this order; the reason may hold anything, so it stands last.
COLUMNS = ("jobid", "jobindex", "stat", "exit_code", "exec_host", "exit_reason", "pend_reason")
#: LSF's words when it is away or busy; its commands say them while they try again.
TROUBLE = re.compile(
    r"please wait|cannot connect to lsf|lsf is down|non-lsf host rejected"
    r"|connection (refused|timed out|reset)|communication (time out|error)|system call failed"
    r"|batch daemon internal error",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"Job <(\d+)> is not found")
_NONE = re.compile(r"No (unfinished |matching )?job found|Job <[^>]*> is not found", re.IGNORECASE)
_REFUSED = re.compile(
    r"(invalid|illegal|unknown) (option|field|argument)|^Usage:", re.IGNORECASE | re.MULTILINE
)
_EXIT_CODE = re.compile(r"\bExited with exit code (\d+)")
_SIGNAL = re.compile(r"\bExited by signal (\d+)")
_TERM = re.compile(r"\bTERM_[A-Z_]+\b(?:: [^.;]*)?")


def read_rows(asked: Sequence[str], answer: Answer) -> Reading:
    """Read `bjobs -noheader -o …`."""
    jobs: dict[str, JobInfo] = {}
    unknown: dict[str, str] = {}
    strange = ""
    for line in filter(str.strip, answer.stdout.splitlines()):
        cells = [_value(cell) for cell in line.split("^", len(COLUMNS) - 1)]
        if len(cells) != len(COLUMNS) or not cells[0].isdigit():
            strange = strange or ("" if _is_chatter(line) else f"{answer.command[0]} wrote {line[:200]!r}")
            continue
        row = dict(zip(COLUMNS, cells, strict=True))
        if row["jobindex"] not in ("", "0"):
            continue  # a part of an array is a line, but no job of ours
        if row["stat"] in STATES:
            jobs[row["jobid"]] = _job(row)
        else:
            unknown[row["jobid"]] = row["stat"]
    return _judged(asked, jobs, unknown, strange, answer)


def read_table(asked: Sequence[str], answer: Answer) -> Reading:
    """Read `bjobs -w`: JOBID USER STAT QUEUE FROM_HOST EXEC_HOST JOB_NAME SUBMIT_TIME, by blanks."""
    jobs: dict[str, JobInfo] = {}
    unknown: dict[str, str] = {}
    for line in answer.stdout.splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].isdigit() or re.search(r"\[\d+\]$", words[6]):
            continue
        job_id, state = words[0], words[2]
        if state in STATES:
            row = {"jobid": job_id, "stat": state, "exec_host": _value(words[5])}
            jobs[job_id] = _job({**dict.fromkeys(COLUMNS, ""), **row})
        else:
            unknown[job_id] = state
    return _judged(asked, jobs, unknown, "", answer)


def read_closer(job_id: str, answer: Answer) -> Reading:
    """Read `bjobs -l` of one job that has failed; a line goes on after 21 blanks, within a word."""
    text = re.sub(r"\n {21}", "", answer.stdout)
    if f"Job <{job_id}>" not in text:
        return Reading({}, {}, answer.problem)
    code, signal, reason = _EXIT_CODE.search(text), _SIGNAL.search(text), _TERM.search(text)
    row = {"jobid": job_id, "stat": "EXIT", "exit_reason": reason[0].strip() if reason else ""}
    if code:
        row["exit_code"] = code[1]
    elif signal:
        row["exit_code"] = str(128 + int(signal[1]))
    elif not reason and re.search(r": Exited\s*$", text, re.MULTILINE) and "tarted on" not in text:
        # Nothing but a kill ends a job that waits.
        return Reading({job_id: JobInfo(job_id, "CANCELLED", "it never ran", raw="EXIT")}, {})
    return Reading({job_id: _job({**dict.fromkeys(COLUMNS, ""), **row})}, {})


def _job(row: dict[str, str]) -> JobInfo:
    state = STATES[row["stat"]]
    code: int | None = 0 if state == "DONE" else None
    reason = ""
    if row["stat"] == "EXIT":
        reason = row["exit_reason"]
        state = REASONS.get(reason.partition(":")[0].strip(), state)
        code = int(row["exit_code"]) if state == "FAILED" and row["exit_code"].isdigit() else None
    elif state == "PENDING":
        reason = row["pend_reason"].strip(" ;")
    elif row["stat"] == "UNKWN":
        reason = "its host does not answer"
    elif row["stat"] in ("USUSP", "SSUSP"):
        reason = "suspended"
    return JobInfo(row["jobid"], state, reason, row["exec_host"], code, row["stat"])


def _judged(
    asked: Sequence[str], jobs: dict[str, JobInfo], unknown: dict[str, str], strange: str, answer: Answer
) -> Reading:
    """Say what an answer is worth; the exit code depends on version and site, so the words decide."""
    words = answer.stdout + "\n" + answer.stderr
    if _REFUSED.search(words):
        return Reading(jobs, unknown, answer.problem or words.strip(), again=True)
    absent = set(asked).difference(jobs, unknown, _ABSENT.findall(words))
    known = not absent if asked else bool(jobs or _NONE.search(words))
    if known or (_NONE.search(words) and len(absent) == len(asked)):
        return Reading(jobs, unknown)
    if TROUBLE.search(words):
        return Reading(jobs, unknown, answer.problem or words.strip())
    return Reading(jobs, unknown, strange or answer.problem)


def _is_chatter(line: str) -> bool:
    return bool(TROUBLE.search(line) or _NONE.search(line))


def _value(cell: str) -> str:
    return "" if cell.strip() == "-" else cell.strip()
