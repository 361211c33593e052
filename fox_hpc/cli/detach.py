"""`fox-hpc submit --detach`: the same command once more, in a session of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from ..errors import RunError, WorkspaceError
from ..record import RunRecord, load_record, record_file
from .runs import DEFAULT_WORKSPACE

LOOK_S = 0.1
#: How long a run may take to begin before the command returns without waiting for it.
BEGIN_S = 120.0


def start_detached(recipe: str, options: dict[str, Any]) -> int:
    """Start `fox-hpc submit` in the background; return when its run is on.

    The child says where its run folder is through a pipe, which ends without a word if it dies first.
    What it prints ends up as `submit.log` in the run folder.

    Raises:
        WorkspaceError: there is no place for its output.
    """
    log = _new_log(Path(options.get("workspace") or DEFAULT_WORKSPACE))
    ours, childs = os.pipe()
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    argv = [sys.executable, "-m", "fox_hpc", "submit", *words, f"--announce={childs}", "--json", "--", recipe]
    with log.open("wb") as out:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[childs], start_new_session=True
        )
    os.close(childs)
    try:
        with os.fdopen(ours, "rb") as pipe:
            return _follow(child, pipe.read().decode(), log)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def _follow(child: subprocess.Popen[bytes], folder: str, log: Path) -> int:
    """Wait until the run is on, or the child has died without one."""
    if not folder:
        code = child.wait()
        click.echo(log.read_text(errors="replace"), err=True, nl=False)
        log.unlink()
        return code
    log = log.replace(Path(folder) / "submit.log")
    record = _begun(Path(folder), child)
    if record.state not in ("RUNNING", "DONE"):
        code = child.wait()
        click.echo(log.read_text(errors="replace"), err=True, nl=False)
        return code
    click.echo(
        f"run     {record.run} ({record.state})\nfolder  {record.folder}\nlog     {log}\n"
        f"watch   fox-hpc attach {record.folder}\nsee     fox-hpc status {record.folder}\n"
        f"end     fox-hpc cancel {record.folder}"
    )
    return 0


def _new_log(workspace: Path) -> Path:
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        log = workspace / f"submit-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        log.touch(mode=0o600)
    except OSError as error:
        raise WorkspaceError(f"{workspace} cannot hold runs: {error.strerror}") from error
    return log


def _begun(folder: Path, child: subprocess.Popen[bytes]) -> RunRecord:
    deadline = time.monotonic() + BEGIN_S
    while True:
        ended = child.poll() is not None
        # The record is written a moment after the folder was made; the last look is one after the end.
        if ended or record_file(folder).exists():
            record = load_record(folder)
            if ended or record.state != "STARTING":
                return record
        if time.monotonic() > deadline:
            raise RunError(f"{folder} has not begun after {BEGIN_S:g} s; it goes on in the background")
        time.sleep(LOOK_S)
