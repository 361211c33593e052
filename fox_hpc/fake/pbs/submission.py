"""From qsub's options to a job, refusing what the real one refuses."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import After, Job, Queue
from fox_hpc.fake.pbs.details import Details, Output, job_id, named
from fox_hpc.fake.pbs.options import Options, every, given, last, usage
from fox_hpc.fake.pbs.resources import read
from fox_hpc.fake.pbs.variables import OWN, variable_list
from fox_hpc.fake.request import Refused, Request

NO_LIMIT_S = 5 * 365 * 86400.0
LONGEST_NAME = 230
DEPENDENCIES = ("after", "afterok", "afternotok", "afterany")
ATTRIBUTES = ("depend", "block", "umask", "group_list", "sandbox", "stagein", "stageout", "run_count", "x",
              "release_nodes_on_stageout", "create_resv_from_job", "pwd")  # fmt: skip


@dataclass
class Submission:
    """A job that is ready to be taken, and how its program is to answer."""

    job: Job
    indexes: list[int]
    throttle: int
    block: bool
    silent: bool


def make(engine: Engine, request: Request, options: Options, name: str) -> Submission:
    """`options` are those of the script, then those of the command line: the last of each counts."""
    _refuse_wrong(options)
    attributes = _attributes(options)
    indexes, throttle = _array(engine, last(options, "J"))
    name = _name(last(options, "N"), name)
    execution_time = _execution_time(last(options, "a"), engine.now())
    resources = read(every(options, "l")[::-1])
    queue = _queue(engine, request, last(options, "q"))
    if queue.max_time_s and resources.walltime_s > queue.max_time_s:
        raise Refused("qsub: Job violates queue and/or server resource limits", 188)
    variables = variable_list(request, every(options, "v"), given(options, "V"), queue.name,
                              socket.gethostname())  # fmt: skip
    home = request.env.get("HOME", "/")
    details = Details(
        resources=resources, output=_output(request, options), variables=variables, home=home,
        shell=last(options, "S") or request.env.get("SHELL", "/bin/bash"),
        cookie=os.urandom(16).hex().upper(),
        umask=int(attributes.get("umask", "077"), 8), execution_time=execution_time,
        project=last(options, "P") or "_pbs_project_default", mail=last(options, "m") or "a",
        priority=int(last(options, "p") or 0), sandbox=attributes.get("sandbox", "").upper() == "PRIVATE",
    )  # fmt: skip
    after = _dependencies(engine, attributes.get("depend", ""), details)
    job = Job(
        id=0, name=name, user=request.user, uid=request.uid, group=request.user, gid=os.getgid(),
        queue=queue.name, want=resources.want(), workdir=home, account=last(options, "A"),
        limit_s=resources.walltime_s or NO_LIMIT_S, begin=execution_time, held=given(options, "h"),
        may_requeue=last(options, "r", "y") == "y", after=after, kill_on_bad_dependency=True, append=True,
        submit_host=socket.gethostname(), submit_dir=request.cwd, details=details,
        env={**variables, **{key: request.env[key] for key in OWN if key in request.env}},
    )  # fmt: skip
    block = attributes.get("block", "").lower() == "true"
    return Submission(job, indexes, throttle, block, given(options, "z"))


def _refuse_wrong(options: Options) -> None:
    rules = {
        "N": r"[^\s]+", "j": r"oe|eo|n", "r": r"[yn]", "p": r"[+-]?\d{1,4}", "k": r"n|[oed]+",
        "J": r"\d+-\d+(:\d+)?(%\d+)?", "m": r"n|[abej]+", "R": r"o|e|oe|eo",
        "a": r"(\d{8}|\d{10}|\d{12})(\.\d\d)?",
        "c": r"[nsuwc](=?\d+)?",
    }  # fmt: skip
    for letter, value in options:
        if letter == "I":
            raise Refused("qsub: interactive jobs are not in the fake", 1)
        fine = re.fullmatch(rules.get(letter, r"(?s).*"), value)
        if not fine or (letter == "p" and abs(int(value)) > 1024):
            raise usage("qsub", f"illegal -{letter} value")
        if letter == "N" and len(value) > LONGEST_NAME:
            raise Refused("qsub: Job name is too long ", 2)


def _attributes(options: Options) -> dict[str, str]:
    """All -W options; a comma belongs to the value unless a name and `=` follow."""
    found: dict[str, str] = {}
    for text in every(options, "W")[::-1]:
        for part in re.split(r",(?=\s*\w+=)", text):
            name, equals, value = part.strip().partition("=")
            if not equals:
                raise usage("qsub", "illegal -W value")
            if name not in ATTRIBUTES:
                raise Refused("qsub: Error (15002) submitting job", 154)
            found.setdefault(name, value)
    return found


def _name(asked: str, default: str) -> str:
    return asked or re.sub(r"\s", "_", default)


def _array(engine: Engine, text: str) -> tuple[list[int], int]:
    if not text:
        return [], 0
    body, _, throttle = text.partition("%")
    span, _, step = body.partition(":")
    low, _, high = span.partition("-")
    if int(low) >= int(high) or step == "0":
        raise usage("qsub", "illegal -J value")
    indexes = list(range(int(low), int(high) + 1, int(step or 1)))
    if len(indexes) > 10 * engine.config.max_array_size:
        raise Refused("qsub: Array job exceeds server or queue size limit", 3)
    return indexes, int(throttle or 0)


def _execution_time(text: str, now: float) -> float:
    """[[CC]YY]MMDDhhmm[.SS]; a moment that has passed is taken as at once."""
    if not text:
        return 0.0
    body, _, second = text.partition(".")
    today = time.localtime(now)
    full = f"{today.tm_year}{body}" if len(body) == 8 else f"20{body}" if len(body) == 10 else body
    try:
        moment = time.mktime(time.strptime(full + (second or "00"), "%Y%m%d%H%M%S"))
    except ValueError:
        raise usage("qsub", "illegal -a value") from None
    return moment if moment > now else 0.0


def _queue(engine: Engine, request: Request, text: str) -> Queue:
    name, _, server = text.partition("@")
    if server and server != engine.config.server_name:
        words = f"qsub: cannot connect to server {engine.config.server_name} (errno=15008)"
        raise Refused(f"Unknown Host.\n{words}", 160)
    default = next(queue for queue in engine.queues.values() if queue.default)
    queue = engine.queues.get(name) if name else default
    if queue is None:
        raise Refused("qsub: Unknown queue", 170)
    if not queue.enabled:
        raise Refused("qsub: Queue is not enabled", 173)
    if queue.users and request.user not in queue.users:
        raise Refused("qsub: Unauthorized Request ", 159)
    return queue


def _output(request: Request, options: Options) -> Output:
    def path(letter: str) -> str:
        text = last(options, letter)
        host, colon, rest = text.partition(":")
        if colon and "/" not in host:
            text = rest
        return str(Path(request.cwd, text)) if text else ""

    keep = last(options, "k") or "n"
    return Output(path("o"), path("e"), last(options, "j") or "n", keep, last(options, "R"))


def _dependencies(engine: Engine, text: str, details: Details) -> list[After]:
    after: list[After] = []
    texts: list[str] = []
    for part in text.split(",") if text else []:
        kind, *words = part.strip().split(":")
        if kind not in DEPENDENCIES or not words:
            raise usage("qsub", "illegal -W value")
        for word in words:
            target = named(engine, word.partition("@")[0])
            if target is None:
                raise usage("qsub", "illegal -W value")
            element = target.parts.strip("[]")
            after.append(After(kind, f"{target.number}_[{element}]" if element else str(target.number)))
            texts.append(f"{kind}:{target}@{engine.config.server_name}")
    details.depend = ",".join(texts)
    return after


def tell_those_depended_on(engine: Engine, job: Job) -> None:
    """A job's record names who waits for it, until it has ended."""
    for after in job.after:
        other = engine.jobs.get(int(after.job_id.partition("_")[0]))
        if other is not None and not other.is_over:
            kind = after.kind.replace("after", "before")
            words = f"{kind}:{job_id(engine, job)}@{engine.config.server_name}"
            other.details.before.append(words)
