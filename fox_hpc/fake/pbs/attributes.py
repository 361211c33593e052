"""A job's record as qstat -f shows it: attributes in the real one's order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from fox_hpc.fake import jobs as states
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.comments import Pending, exec_vnode, job_comment
from fox_hpc.fake.pbs.details import array_id, details, is_finished, job_id, sequence
from fox_hpc.fake.pbs.output import shown_path
from fox_hpc.fake.pbs.resources import clock

WALLTIME, NODE_LOST, REQUEUED = -29, -20, -11
Attributes = dict[str, Any]


def exit_status(job: Job) -> int | None:
    """0-255, 256 + signal, a negative number of PBS's own; None for a job that never ran."""
    if not job.started:
        return 1 if job.array and details(job).deleted_by else None
    if job.state == states.TIMEOUT:
        return WALLTIME
    if job.state == states.NODE_FAIL:
        return NODE_LOST
    return 256 + job.signal if job.signal else job.code


def state(engine: Engine, job: Job) -> tuple[str, int]:
    """The letter and the substate."""
    if job.state == states.PENDING:
        return _waiting_state(engine, job)
    if job.suspended:
        return "S", 45
    if job.state == states.RUNNING or (job.completing and _stopped(job)):
        return "R", 60 if job.requeue_after_end else 42
    if not is_finished(engine, job):
        return "E", 51
    return "F", _end_substate(job)


def _waiting_state(engine: Engine, job: Job) -> tuple[str, int]:
    if job.held:
        return "H", 20
    if job.after and job.reason in ("Dependency", "DependencyNeverSatisfied"):
        return "H", 22
    if details(job).execution_time > engine.now():
        return "W", 30
    return "Q", 10


def _stopped(job: Job) -> bool:
    """Ended from outside: the server counts it as running until its processes are gone."""
    return job.state not in (states.COMPLETED, states.FAILED)


def _end_substate(job: Job) -> int:
    if details(job).deleted_by:
        return 91
    return 93 if exit_status(job) else 92


def owner(engine: Engine, job: Job) -> str:
    return f"{job.user}@{job.submit_host}"


def attributes(engine: Engine, job: Job, pending: Pending) -> Attributes:
    """All of one job's, or one array element's."""
    own, (letter, substate) = details(job), state(engine, job)
    ran = bool(job.started)
    found: Attributes = {"Job_Name": job.name, "Job_Owner": owner(engine, job)}
    if ran:
        found["resources_used"] = _used(engine, job)
    found |= {"job_state": letter, "queue": job.queue, "server": engine.config.server_name}
    found |= _middle(engine, job)
    if ran:
        found["stime"] = time.ctime(job.started)
        if letter in "FE":
            found["obittime"] = time.ctime(job.ended)
        else:
            found["session_id"] = own.session_id
        found["jobdir"] = job.workdir
    found |= {"substate": substate, "Variable_List": own.variables}
    comment = job_comment(engine, job, letter, exit_status(job), pending)
    if comment:
        found["comment"] = comment
    if letter not in "HW" and (ran or letter != "F"):
        found["etime"] = time.ctime(job.eligible or job.submitted)
    runs = job.restarts + (1 if ran else 0)
    if runs:
        found["run_count"] = runs
    found |= _ending(job, letter)
    found |= _what(job)
    if job.array and (ran or letter == "F"):
        found |= {"array_id": array_id(engine, job), "array_index": job.array.index}
    if letter == "F":
        found["history_timestamp"] = int(job.ended)
    return found | {"project": own.project, "Submit_Host": job.submit_host}


def _middle(engine: Engine, job: Job) -> Attributes:
    """From Account_Name to Resource_List."""
    own = details(job)
    found: Attributes = {"Account_Name": job.account} if job.account else {}
    found |= {"Checkpoint": "u", "ctime": time.ctime(job.submitted)}
    depend = ",".join(filter(None, [own.depend, *own.before]))
    if depend and not (own.depend and job.started):
        found["depend"] = depend
    found["Error_Path"] = shown_path(engine, job, "e")
    if job.started:
        found |= {"exec_host": own.exec_host, "exec_vnode": exec_vnode(job)}
    if own.execution_time > engine.now():
        found["Execution_Time"] = time.ctime(own.execution_time)
    waits = job.state == states.PENDING and job.reason.startswith("Dependency")
    found |= {
        "Hold_Types": "u" if job.held or own.held_words else "s" if waits or _unmet(job) else "n",
        "Join_Path": own.output.join,
        "Keep_Files": own.output.keep,
        "Mail_Points": own.mail,
        "mtime": time.ctime(job.ended or job.started or job.submitted),
        "Output_Path": shown_path(engine, job, "o"),
        "Priority": own.priority,
        "qtime": time.ctime(job.submitted),
        "Rerunable": str(job.may_requeue),
        "Resource_List": {name: _number(text) for name, text in own.resources.shown.items()},
    }
    return found


def _unmet(job: Job) -> bool:
    """Ended because what it waited for cannot come any more."""
    return bool(job.after) and job.is_over and not job.started and not details(job).deleted_by


def _used(engine: Engine, job: Job) -> Attributes:
    own = details(job)
    end = job.ended or (own.stopped if job.suspended else engine.now())
    return {"cpupercent": 0, "cput": "00:00:00", "mem": "0kb",
            "ncpus": int(own.resources.shown["ncpus"]), "vmem": "0kb",
            "walltime": clock(end - job.started - own.stopped_s)}  # fmt: skip


def _ending(job: Job, letter: str) -> Attributes:
    own = details(job)
    status = exit_status(job)
    if letter == "Q" and own.last_exit is not None:
        return {"Exit_status": own.last_exit}
    if letter not in "FE" or status is None:
        return {}
    staged = {"Stageout_status": int(own.staged_out)} if job.started else {}
    return {**staged, "Exit_status": status}


def _what(job: Job) -> Attributes:
    own = details(job)
    found: Attributes = {"Submit_arguments": own.arguments}
    if own.command:
        first, *words = own.command
        found["executable"] = f"<jsdl-hpcpa:Executable>{first}</jsdl-hpcpa:Executable>"
        if words:
            parts = (f"<jsdl-hpcpa:Argument>{word}</jsdl-hpcpa:Argument>" for word in words)
            found["argument_list"] = "".join(parts)
    return found


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def array_state(engine: Engine, parts: Sequence[Job]) -> tuple[str, int]:
    """Q until the first element starts, B until the last has ended, then F."""
    letters = [state(engine, part)[0] for part in parts]
    if all(letter == "F" for letter in letters):
        failed = any(exit_status(part) for part in parts)
        return "F", 91 if details(parts[0]).forced or _deleted_whole(parts) else 93 if failed else 92
    if all(letter in "QHW" for letter in letters):
        return letters[0], {"Q": 10, "H": 20, "W": 30}[letters[0]]
    return "B", 70


def _deleted_whole(parts: Sequence[Job]) -> bool:
    return all(details(part).deleted_by or part.started for part in parts) and any(
        details(part).deleted_by and not part.started for part in parts
    )


def array_attributes(engine: Engine, parts: Sequence[Job], pending: Pending) -> Attributes:
    """Those of a whole array."""
    head, (letter, substate) = parts[0], array_state(engine, parts)
    began = min((part.started for part in parts if part.started), default=0.0)
    found: Attributes = {"Job_Name": head.name, "Job_Owner": owner(engine, head), "job_state": letter,
                         "queue": head.queue, "server": engine.config.server_name}  # fmt: skip
    middle = _middle(engine, head)
    for name in ("exec_host", "exec_vnode"):
        middle.pop(name, None)
    own = details(head)
    for name, which in (("Error_Path", "e"), ("Output_Path", "o")):
        middle[name] = shown_path(engine, head, which, whole=True)
    found |= middle
    if began:
        found["stime"] = time.ctime(began)
    found |= {"substate": substate, "Variable_List": own.variables}
    if began or letter == "F":
        found["comment"] = array_comment(began or head.submitted, letter, substate)
    else:
        comment = job_comment(engine, head, letter, None, pending)
        found |= {"comment": comment} if comment else {}
    found["etime"] = time.ctime(head.eligible or head.submitted)
    if letter == "F":
        found["Exit_status"] = int(substate != 92)
    found |= _what(head) | _array_counts(engine, parts)
    if letter == "F":
        found["history_timestamp"] = int(max(part.ended for part in parts))
    return found | {"project": own.project, "Submit_Host": head.submit_host}


def array_comment(began: float, letter: str, substate: int) -> str:
    words = time.strftime("Job Array Began at %a %b %d at %H:%M", time.localtime(began))
    ending = (
        {92: " and finished", 93: " and failed", 91: " and terminated"}[substate] if letter == "F" else ""
    )
    return words + ending


def _array_counts(engine: Engine, parts: Sequence[Job]) -> Attributes:
    letters = [state(engine, part)[0] for part in parts]
    queued = [p for p, letter in zip(parts, letters, strict=True) if letter in "QHW"]
    over = all(letter == "F" for letter in letters)
    deleted = sum(bool(details(part).deleted_by) and not part.started for part in parts)
    counts = {"Queued": len(queued), "Running": letters.count("R"), "Exiting": letters.count("E"),
              "Expired": deleted if over else letters.count("F")}  # fmt: skip
    array = parts[0].array
    assert array is not None
    found: Attributes = {
        "array": "True",
        "array_state_count": " ".join(f"{name}:{count}" for name, count in counts.items()),
        "array_indices_submitted": _span(array.indexes),
        "array_indices_remaining": _span([p.array.index for p in queued if p.array]) if queued else "-",
    }
    if array.throttle:
        found["max_run_subjobs"] = array.throttle
    return found


def _span(indexes: Sequence[int]) -> str:
    if len(indexes) == 1:
        return str(indexes[0])
    step = indexes[1] - indexes[0]
    if any(after - before != step for before, after in pairwise(indexes)):
        return ",".join(map(str, indexes))
    return f"{indexes[0]}-{indexes[-1]}" + (f":{step}" if step > 1 else "")


def shown_id(engine: Engine, parts: Sequence[Job], whole: bool) -> str:
    return array_id(engine, parts[0]) if whole else job_id(engine, parts[0])


def order(job: Job) -> tuple[int, int]:
    """How lists are sorted."""
    return sequence(job), job.array.index if job.array else -1
