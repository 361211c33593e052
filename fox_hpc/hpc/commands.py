"""Runs a scheduler's commands: each in a clean environment, for a limited time."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..environment import process_environ, scrubbed
from ..errors import SchedulerError
from .dialect import Answer

# Settings of a user's shell that change what our commands list, print or ask.
_PRIVATE_SETTINGS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_")
# Say which cluster a command belongs to: the fake's, Torque's server, the folders of an LSF.
_CLUSTER = ("FOX_FAKE_SPOOL", "PBS_DEFAULT", "PBS_EXEC", "LSF_LIBDIR", "LSF_CONFDIR")


class Commands:
    """Starts programs.

    Args:
        environ: where programs are looked up (PATH) and what they are started with, the variables of an
            enclosing job taken out; None means this process's.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = _for_commands(process_environ() if environ is None else environ)

    def run(self, command: Sequence[str], timeout_s: float, stdin: Path | None = None) -> Answer:
        """Run a command to its end.

        Args:
            stdin: a file that it reads; none by default.

        Raises:
            SchedulerError: it is not there, or did not end in time; its cause says which.
        """
        try:
            program = shutil.which(command[0], path=self._environ.get("PATH", os.defpath))
            if program is None:
                raise FileNotFoundError(f"{command[0]} is not on PATH: is this a host that may submit jobs?")
            argv = [program, *command[1:]]
            exit_code, stdout, stderr = communicate(argv, self._environ, timeout_s, stdin)
        except TimeoutError as error:
            problem = f"`{shlex.join(command)}` did not end within {timeout_s:g} s"
            raise SchedulerError(problem, command=command) from error
        except OSError as error:
            raise SchedulerError(str(error), command=command) from error
        return Answer(tuple(command), exit_code, stdout, stderr)


def _for_commands(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name in _CLUSTER}
    clean = {
        name: value for name, value in scrubbed(environ).items() if not name.startswith(_PRIVATE_SETTINGS)
    }
    return clean | kept


def communicate(
    argv: list[str], environ: dict[str, str], timeout_s: float, stdin: Path | None = None
) -> tuple[int, str, str]:
    """Run a program with just these variables; give its exit code, stdout and stderr.

    Raises:
        TimeoutError: it did not end in time; it was killed, with what it had started.
        OSError: it cannot be started.
    """
    # A session of its own: Ctrl-C must not end an sbatch half way, and a wrapper script is ended with
    # the commands that it has started.
    with (
        (stdin or Path(os.devnull)).open("rb") as source,
        subprocess.Popen(
            argv,
            env=environ,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException as stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise TimeoutError from stopped
            raise
    return process.returncode, stdout, stderr
