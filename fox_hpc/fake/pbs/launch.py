"""The far half of pbsdsh and pbs_tmrsh: start the tasks, wait, say how they ended.

A task's output goes to the job's own files, never to the launching program's streams; and a task goes on
when the launching program is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from fox_hpc.fake.line import Line

NOT_FOUND = 254


def spawn(line: Line, plan: dict[str, Any]) -> int:
    """Run the tasks; pbs_tmrsh (one task, not by pbsdsh) gives its task's exit code, pbsdsh 0."""
    started: list[subprocess.Popen[bytes] | None] = [_start(line, plan, task) for task in plan["tasks"]]
    by_pbsdsh = os.path.basename(sys.argv[0]) == "pbsdsh"  # noqa: PTH119 - pathlib takes 10 ms to load
    if not by_pbsdsh:
        return _status(started[0])
    if plan["verbose"]:
        for index in range(len(started)):
            _say(f"spawned task 0x{index:08X} on logical node {index} event {index + 2}")
        _say(f"waiting on {len(started)} spawned and 0 obits")
    for index, process in enumerate(started):
        status = _status(process)
        if status or plan["verbose"]:
            _say(f"task 0x{index:08X} exit status {status}")
    return 0


def _start(line: Line, plan: dict[str, Any], task: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    env = task["env"]
    program = _find(plan["argv"][0], env["PATH"], plan["cwd"])
    stdout, stderr = (_open(plan[name], plan["umask"]) for name in ("stdout", "stderr"))

    def report() -> None:
        # The task itself says who it is, so that no task is lost when the launching program is killed now.
        line.send({"pids": [os.getpid()]})

    try:
        if program is None:
            raise FileNotFoundError(2, "No such file or directory")
        return subprocess.Popen(
            plan["argv"], executable=program, env=env, cwd=plan["cwd"], stdin=subprocess.DEVNULL,
            stdout=stdout, stderr=stderr, umask=plan["umask"], start_new_session=True,
            preexec_fn=report,
        )  # fmt: skip
    except OSError as error:
        os.write(stderr, f"{plan['argv'][0]}: {os.strerror(error.errno or 2)}\n".encode())
        return None
    finally:
        os.close(stdout)
        os.close(stderr)


def _open(path: str, umask: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666 & ~umask)


def _status(process: subprocess.Popen[bytes] | None) -> int:
    """Exit code, or the plain number of the signal that killed the task."""
    return NOT_FOUND if process is None else abs(process.wait())


def _find(program: str, path: str, cwd: str) -> str | None:
    if "/" in program:
        return os.path.join(cwd, program)  # noqa: PTH118
    for folder in path.split(":"):
        full = os.path.join(folder, program)  # noqa: PTH118
        if folder and os.access(full, os.X_OK):
            return full
    return None


def _say(text: str) -> None:
    print(f"pbsdsh: {text}", file=sys.stderr)  # noqa: T201
