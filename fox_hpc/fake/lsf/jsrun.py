"""jsrun, the controller's half: tasks in resource sets.

From IBM's page on jsrun and from what public programs read of its variables (Lightning's LSF environment,
launchers for Summit); nothing of it was recorded. Of its options those that place tasks are heeded.
"""

from __future__ import annotations

from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job, Share
from fox_hpc.fake.lsf.blaunch import calling_job, launch, task
from fox_hpc.fake.lsf.options import Options, last, parse, table
from fox_hpc.fake.request import Refused, Request, Session

JSRUN = table(
    "jsrun",
    "h V i",
    "n r a c g p b d l E D M o e k t m K S X f I F P U J L",
    "Usage: jsrun [-n nrs] [-r rs_per_host] [-a tasks_per_rs] [-c cpus_per_rs] [-g gpus_per_rs] command ...",
)
LONG = {
    "nrs": "n", "rs_per_host": "r", "tasks_per_rs": "a", "cpu_per_rs": "c", "gpu_per_rs": "g", "np": "p",
    "bind": "b", "launch_distribution": "d", "latency_priority": "l", "env": "E", "smpiargs": "M",
    "stdio_stdout": "o", "stdio_stderr": "e", "exit_on_error": "X", "immediate": "i",
}  # fmt: skip


def jsrun(engine: Engine, request: Request, session: Session) -> None:
    """Run a command in each resource set of the job; ends when all tasks have, with the worst exit code."""
    options, words = parse(JSRUN, _short(request.argv))
    job = calling_job(engine, request, "jsrun")
    if not words:
        raise Refused(f"jsrun: no command is given\n{JSRUN.usage}", 255)
    tasks = _tasks(job, options)
    if not tasks:
        raise Refused("jsrun: Error: It is not possible to fulfill the requested resource sets", 1)
    launch(engine, request, session, job, ["/bin/sh", "-c", 'exec "$@"', "sh", *words], tasks, stdin="all")


def _short(argv: list[str]) -> list[str]:
    """Long options of jsrun's own in the one-letter form; the command's words stay."""
    words: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in LONG:
            word, value = f"-{LONG[name]}", value if equals else ""
            words += [word, value] if equals else [word]
        else:
            words.append(word)
        letter = words[-1] if len(words[-1]) == 2 else ""
        if letter.startswith("-") and letter[1] in JSRUN.valued and rest and not equals:
            words.append(rest.pop(0))
    return words + rest


def _tasks(job: Job, options: Options) -> list[dict[str, Any]]:
    """Resource sets, host by host, each with its tasks and GPUs; nothing if they do not fit."""
    each, per_host = _number(options, "a", 1), _number(options, "r", 0)
    sets = _number(options, "n", 0) or -(-_number(options, "p", 0) // each)
    places: list[tuple[Share, tuple[int, ...], int]] = []
    for share in job.shares:
        cpus, gpus = (
            _of(options, name, all_of) for name, all_of in (("c", share.cpus), ("g", len(share.gpus)))
        )
        room = min(share.cpus // max(1, cpus), len(share.gpus) // gpus if gpus else share.cpus)
        count = min(room, per_host or (room if sets else 1))
        places += [(share, share.gpus[local * gpus : (local + 1) * gpus], local) for local in range(count)]
    if len(places) < sets:
        return []
    places = places[: sets or len(places)]
    ranked = [(share, gpus, local * each + one) for share, gpus, local in places for one in range(each)]
    return [_task(rank, len(ranked), *place) for rank, place in enumerate(ranked)]


def _task(rank: int, size: int, share: Share, gpus: tuple[int, ...], local: int) -> dict[str, Any]:
    names = {"RANK": rank, "LOCAL_RANK": local, "SIZE": size}
    env = {f"{prefix}_{name}": str(value) for prefix in ("JSM_NAMESPACE", "OMPI_COMM_WORLD")
           for name, value in names.items()}  # fmt: skip
    env |= {"PMIX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    return task(rank, share, env)


def _number(options: Options, name: str, default: int) -> int:
    text = last(options, name)
    return int(text) if text.isdigit() else default


def _of(options: Options, name: str, all_of: int) -> int:
    """A count, or everything the host has for `ALL_CPUS` and `ALL_GPUS`; one CPU and no GPU if not said."""
    text = last(options, name)
    return all_of if text.startswith("ALL_") else _number(options, name, 1 if name == "c" else 0)
