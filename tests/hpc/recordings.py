"""Recorded answers of real schedulers, and small programs on PATH that give them again."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from fox_hpc.hpc.dialect import Answer

RECORDINGS = Path(__file__).parents[1] / "golden"
_ONE = re.compile(
    r"^\$ (?P<command>.*)\n-- exit (?P<exit>\d+)\n-- stdout\n(?P<out>(?:.*\n)*?)-- stderr\n"
    r"(?P<err>(?:(?!\$ ).*\n)*)",
    re.MULTILINE,
)

Recorded = Callable[[str], list[Answer]]


def read_recording(name: str, scheduler: str = "slurm") -> list[Answer]:
    """Give the answers in a file, in their order."""
    text = (RECORDINGS / f"{scheduler}-parse" / f"{name}.txt").read_text()
    return [
        Answer(tuple(shlex.split(one["command"])), int(one["exit"]), one["out"], one["err"].strip())
        for one in _ONE.finditer(text)
    ]


#: What the small programs and the scripts need of the system.
TOOLS = ("bash", "cat", "env", "ln", "sed", "sh", "sleep", "tr")


class Programs:
    """A PATH of small programs, each of which notes its arguments.

    The system's own folders are not on it: a scheduler may be installed on the machine.
    """

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": f"{folder}:{tools}"}
        for name in TOOLS:
            (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")

    def put(self, name: str, body: str) -> None:
        """Make a program that does what `body`, lines of shell, says."""
        log = shlex.quote(str(self.folder / f"{name}.calls"))
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def replay(self, answer: Answer, name: str | None = None) -> None:
        """Make a program that answers as recorded, whatever it is asked."""
        self.put(
            name or answer.command[0],
            f"printf %s {shlex.quote(answer.stdout)}\nprintf %s {shlex.quote(answer.stderr)} >&2\n"
            f"exit {answer.exit_code}",
        )

    def calls(self, name: str) -> list[str]:
        """List the arguments of each start of a program."""
        log = self.folder / f"{name}.calls"
        return log.read_text().splitlines() if log.exists() else []
