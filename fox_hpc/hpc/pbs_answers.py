"""What qstat and qselect say: states, exit codes, and readers of their answers. No I/O.

The states are those of the PBS Professional reference guide, "Job States" and "Job Substates"; the codes
those of its `job.h`, with which the output of OpenPBS 23.06 agrees. Torque's are from its administrator's
guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .dialect import Answer, JobInfo, JobState, Reading, file_id

# qstat(1B), "job_state". FINISHED ones are told apart by substate, comment and exit code.
STATES: dict[str, JobState | None] = {
    "B": "RUNNING",  # an array of which a part has begun
    "E": "RUNNING",  # exiting: some of its processes may still be there
    "H": "PENDING",  # held
    "M": "PENDING",  # moved to another server, which is not asked
    "Q": "PENDING",
    "R": "RUNNING",
    "S": "RUNNING",  # suspended: keeps its place, got STOP
    "T": "PENDING",  # on its way to another queue
    "U": "RUNNING",  # suspended while somebody uses the workstation
    "W": "PENDING",  # waits for its start time
    "F": None,  # finished
    "X": None,  # a part of an array that has finished
    "C": None,  # Torque: completed
}

# job.h, JOB_EXEC_*; "Job Exit Codes" in the administrator's guide.
PBS_CODES: dict[int, tuple[JobState, str]] = {
    -1: ("LOST", "it could not be started on its node"),
    -2: ("LOST", "it could not be started on its node, after its files were there"),
    -3: ("LOST", "it could not be started on its node, and may be tried again"),
    -4: ("LOST", "its node restarted"),
    -5: ("LOST", "its node restarted, and it was to be continued"),
    -6: ("LOST", "its node restarted, and it was to be run again"),
    -7: ("LOST", "it could not be continued from its checkpoint"),
    -11: ("LOST", "it was to be run again"),
    -20: ("LOST", "its first node is lost"),
    -28: ("TIMEOUT", "exceeded its CPU time"),
    -29: ("TIMEOUT", "exceeded its walltime"),
}
_PBS_FAILURES = {
    -10: "its user id is not right on the node",
    -13: "a password is needed",
    -24: "used more CPUs than it asked for",
    -25: "used more CPUs than it asked for",
    -26: "used more virtual memory than it asked for",
    -27: "used more memory than it asked for",
}
# "Job exit status", appendix of Torque's administrator guide.
TORQUE_CODES: dict[int, tuple[JobState, str]] = {
    **{code: PBS_CODES[code] for code in range(-7, 0)},
    -10: ("FAILED", "used more memory than it asked for"),
    -11: ("TIMEOUT", "exceeded its walltime"),
    -12: ("TIMEOUT", "exceeded its CPU time"),
}

#: The server's words when it is away or busy.
TROUBLE = re.compile(
    r"connection (refused|timed out|reset)|cannot connect to server|couldn't connect|premature end of message"
    r"|invalid credential|timed out|server (is )?shutting down|end of file",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"Unknown Job Id|Job has finished", re.IGNORECASE)
_NO_HISTORY = re.compile(r"not configured to maintain job history", re.IGNORECASE)
_ID = re.compile(r"\b(\d+)(?:\[\d*\])?(?=[.\s]|$)")
_ATTRIBUTE = re.compile(r" {4}(\S+) = (.*)")
_DELETED = "91"  # substate: ended by qdel or by the scheduler
_ENDING = re.compile(r"\b(?:and )?(exceeded .*|terminated by .*)$")


def read_json(asked: Sequence[str], answer: Answer) -> Reading:
    """Read `qstat -f -F json`."""
    text = answer.stdout[answer.stdout.find("{") :] if "{" in answer.stdout else ""
    try:
        document = json.loads(text, strict=False) if text else {}
        records = {job_id: _flat(record) for job_id, record in document.get("Jobs", {}).items()}
    except (ValueError, AttributeError):
        return Reading({}, {}, f"{answer.command[0]} wrote JSON that cannot be read", again=True)
    reading = _reading(asked, records, answer, torque=False)
    # Some versions answer the first of several ids only, and exit with 0.
    return replace(reading, again=reading.again or _silent(asked, reading, answer))


def read_plain(asked: Sequence[str], answer: Answer, *, torque: bool = False) -> Reading:
    """Read `qstat -f`, where a long value goes on in lines that start with a tab."""
    records: dict[str, dict[str, str]] = {}
    record: dict[str, str] = {}
    last = ""
    for line in answer.stdout.splitlines():
        if line.startswith("Job Id:"):
            record = records.setdefault(line.partition(":")[2].strip(), {})
        elif line.startswith("\t") and last in record:
            record[last] += line[1:]
        elif match := _ATTRIBUTE.fullmatch(line):
            last = match[1]
            record[last] = match[2]
    return _reading(asked, records, answer, torque=torque)


def read_ids(answer: Answer) -> Reading:
    """Read qselect, which writes ids only, one a line."""
    refused = bool(_NO_HISTORY.search(answer.stderr)) or "usage" in answer.stderr.lower()
    if answer.problem or refused:
        return Reading({}, {}, answer.problem or answer.stderr.strip(), again=refused)
    ids = [line.strip() for line in answer.stdout.splitlines()]
    return Reading({}, {job_id: "" for job_id in ids if re.fullmatch(r"\d+(\.\S+)?", job_id)})


@dataclass(frozen=True)
class _Record:
    """One job's attributes, as text, whatever form they came in."""

    values: Mapping[str, str]

    def get(self, *names: str) -> str:
        return next((self.values[name] for name in names if name in self.values), "")


def _flat(record: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            # What stands in Variable_List is the user's, and may look like anything.
            flat |= _flat(value, f"{prefix}{name}.") if name != "Variable_List" else {}
        else:
            flat[prefix + name] = str(value)
    return flat


def _reading(
    asked: Sequence[str], records: Mapping[str, Mapping[str, str]], answer: Answer, *, torque: bool
) -> Reading:
    # A server may add its domain to the id that it gave when it took the job.
    names = {file_id(job_id): job_id for job_id in asked}
    jobs: dict[str, JobInfo] = {}
    unknown: dict[str, str] = {}
    for full_id, values in records.items():
        if (job_id := names.get(file_id(full_id))) is None:
            continue
        record = _Record(values)
        info = _job(job_id, record, torque=torque)
        if info is None:
            unknown[job_id] = record.get("job_state")
        else:
            jobs[job_id] = info
    missing = {digits for digits, job_id in names.items() if job_id not in jobs and job_id not in unknown}
    return _judged(jobs, unknown, missing - _explained(answer), answer)


def _explained(answer: Answer) -> set[str]:
    lines = [line for line in answer.stderr.splitlines() if _UNKNOWN.search(line)]
    return {digits for line in lines for digits in _ID.findall(line)}


def _judged(
    jobs: dict[str, JobInfo], unknown: dict[str, str], missing: Iterable[str], answer: Answer
) -> Reading:
    """Say what an answer is worth: the exit code is that of one id, and a good row may stand beside it."""
    if not (missing := sorted(missing)):
        return Reading(jobs, unknown)
    if TROUBLE.search(answer.stderr):
        return Reading(jobs, unknown, answer.problem or answer.stderr.strip())
    refused = bool(_NO_HISTORY.search(answer.stderr))
    words = answer.problem or (answer.stderr.strip() if refused else "")
    return Reading(jobs, unknown, words, again=refused)


def _silent(asked: Sequence[str], reading: Reading, answer: Answer) -> bool:
    """Tell whether an answer leaves out jobs without a word that they are gone, or that nobody answers."""
    missing = {file_id(job_id) for job_id in asked if job_id not in {*reading.jobs, *reading.unknown}}
    return bool(missing - _explained(answer)) and not TROUBLE.search(answer.stderr)


def _job(job_id: str, record: _Record, *, torque: bool) -> JobInfo | None:
    raw = record.get("job_state")
    if raw not in STATES:
        return None
    nodes, comment = record.get("exec_host"), record.get("comment")
    state = STATES[raw]
    if state is not None:
        return JobInfo(job_id, state, _waits_for(state, raw, record), nodes, raw=raw)
    state, reason, code = _end(record, torque=torque)
    words = _ENDING.search(comment)
    return JobInfo(job_id, state, words[1] if words else reason, nodes, code, raw)


def _waits_for(state: JobState, raw: str, record: _Record) -> str:
    """The comment of a job that waits says why; that of one that runs says where and when."""
    if raw == "H":
        return record.get("comment") or f"held ({record.get('Hold_Types') or '?'})"
    if raw in ("S", "U"):
        return "suspended"
    if state != "PENDING":
        return ""
    # An exit code beside a job that waits is that of the run which was taken from it.
    again = "requeued; " if record.get("Exit_status") else ""
    return again + record.get("comment")


def _end(record: _Record, *, torque: bool) -> tuple[JobState, str, int | None]:
    text = record.get("Exit_status", "exit_status")
    deleted = record.get("substate") == _DELETED or "terminated by" in record.get("comment")
    if deleted:
        # Whatever its exit code: a job may end well after its TERM.
        by_scheduler = "terminated by Scheduler@" in record.get("comment")
        return ("PREEMPTED" if by_scheduler else "CANCELLED"), ("" if text else "it never ran"), None
    if not re.fullmatch(r"-?\d+", text):
        return "FAILED", "it never ran", None
    return _torque_end(int(text), record) if torque else _pbs_end(int(text))


def _pbs_end(code: int) -> tuple[JobState, str, int | None]:
    if code in PBS_CODES:
        return *PBS_CODES[code], None
    if code < 0:
        return "FAILED", _PBS_FAILURES.get(code, f"PBS ended it ({code})"), None
    exit_code = code - 128 if code > 256 else code
    return ("DONE" if code == 0 else "FAILED"), "", exit_code


def _torque_end(code: int, record: _Record) -> tuple[JobState, str, int | None]:
    if code in TORQUE_CODES:
        return *TORQUE_CODES[code], None
    if code in (256 + 9, 256 + 15):
        # Torque writes the same for qdel and for a job that met its limit.
        used, limit = (
            _seconds(record.get("resources_used.walltime")),
            _seconds(record.get("Resource_List.walltime")),
        )
        if used is not None and limit is not None and used >= limit:
            return "TIMEOUT", "exceeded its walltime", None
        if code == 256 + 15:
            return "CANCELLED", "", None
    return _pbs_end(code) if code >= 0 else ("FAILED", f"Torque ended it ({code})", None)


def _seconds(clock: str) -> int | None:
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)", clock)
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) if match else None
