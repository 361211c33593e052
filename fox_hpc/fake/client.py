"""What each program on PATH does: hand its words to the controller, print what comes back.

Standard library only, and little of it: these programs are started thousands of times.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from fox_hpc.fake.line import SPOOL, USER, Line, connect


def main(program: str) -> int:
    """Run one program; gives its exit code."""
    try:
        line = connect(os.environ.get(SPOOL, ""))
        line.send(_request(program))
        return _converse(line)
    except (OSError, EOFError):
        return _no_controller(program)
    except KeyboardInterrupt:
        return 130


def _request(program: str) -> dict[str, Any]:
    try:
        cwd = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        cwd = "/"
    user, _, uid = os.environ.get(USER, "").partition(":")
    return {
        "program": program,
        "argv": sys.argv[1:],
        "env": dict(os.environ),
        "cwd": cwd,
        "user": user,
        "uid": int(uid) if uid else os.getuid(),
        "pid": os.getpid(),
        "operator": not user,
    }


def _converse(line: Line) -> int:
    """Answer what the controller asks for until it says how this ends."""
    while True:
        message = line.receive()
        if message is None:
            raise EOFError
        sys.stdout.write(message.get("out", ""))
        sys.stdout.flush()
        sys.stderr.write(message.get("err", ""))
        sys.stderr.flush()
        if "code" in message:
            return int(message["code"])
        if message.get("need") == "stdin":
            line.send({"stdin": sys.stdin.read()})
        if "spawn" in message:
            from fox_hpc.fake.pbs.launch import spawn

            return spawn(line, message["spawn"])
        if "launch" in message:
            from fox_hpc.fake.launch import launch

            return launch(line, message["launch"])


def _no_controller(program: str) -> int:
    if program[0] == "q" or program.startswith("pbs"):
        from fox_hpc.fake.pbs.unreachable import say_unreachable

        return say_unreachable(program, sys.argv[1:], os.environ.get(SPOOL, ""))
    if program[0] == "b" or program.startswith(("ls", "js")):
        from fox_hpc.fake.lsf.unreachable import say_unreachable as say_lsf_unreachable

        return say_lsf_unreachable(program, os.environ.get(SPOOL, ""))
    words = "Unable to contact slurm controller (connect failure)"
    start = {
        "sbatch": "sbatch: error: Batch job submission failed",
        "srun": "srun: error: Unable to allocate resources",
        "squeue": "slurm_load_jobs error",
        "sinfo": "slurm_load_partitions",
        "scancel": "scancel: error: slurm_load_jobs",
    }.get(program, "slurm_load error")
    print(f"{start}: {words}", file=sys.stderr)  # noqa: T201
    return 1
