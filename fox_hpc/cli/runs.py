"""Finds runs on disk, and tells what of their records is still true."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec
import psutil

from ..errors import WorkspaceError
from ..record import RUN_ENDED, RunRecord, record_file

#: Where runs are made unless --workspace says otherwise.
DEFAULT_WORKSPACE = Path("fox_runs")


def run_folders(workspace: Path) -> list[Path]:
    """Give the folders of all runs in a workspace, newest first.

    Raises:
        WorkspaceError: the workspace cannot be read.
    """
    try:
        files = [record_file(folder) for folder in workspace.iterdir() if record_file(folder).is_file()]
        # The record changes with the run; the spec beside it is written once, when the run begins.
        return [file.parent for file in sorted(files, key=_begun, reverse=True)]
    except OSError as error:
        raise WorkspaceError(f"there are no runs in {workspace}: {error.strerror}") from error


def _begun(file: Path) -> float:
    spec = file.with_name("run.json")
    return (spec if spec.exists() else file).stat().st_mtime


def find_run(run: str | None, workspace: Path) -> Path:
    """Give the folder of a run: named by folder, id or the beginning of an id, or the newest.

    Raises:
        WorkspaceError: there is no such run, or more than one.
    """
    if run is not None and record_file(run).is_file():
        return Path(run)
    folders = run_folders(workspace)
    if run is None and folders:
        return folders[0]
    found = [folder for folder in folders if run is not None and folder.name.startswith(run)]
    exact = [folder for folder in found if folder.name == run]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise WorkspaceError(f"more than one run begins with {run}: {_names(found)}")
    if run is None or not folders:
        raise WorkspaceError(f"there are no runs in {workspace}")
    raise WorkspaceError(f"there is no run {run} in {workspace}; the newest are {_names(folders)}")


def _names(folders: list[Path]) -> str:
    shown = ", ".join(folder.name for folder in folders[:5])
    return shown + (" …" if len(folders) > 5 else "")


def server_process(record: RunRecord) -> psutil.Process | None:
    """Give the process that runs the server; None if it is gone, or is not on this host.

    A process id alone proves nothing: it may have been given to somebody else since.
    """
    if record.host != socket.gethostname() or not record.pid:
        return None
    try:
        process = psutil.Process(record.pid)
        if abs(process.create_time() - record.pid_started) > 1 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def is_orphan(record: RunRecord) -> bool:
    """Tell whether a record says that a run is on, while its server is known to be gone."""
    here = record.host == socket.gethostname()
    return record.state not in RUN_ENDED and here and server_process(record) is None


def outcome(record: RunRecord) -> dict[str, Any]:
    """Give what `--json` prints."""
    return {
        "run": record.run,
        "state": record.state,
        "workspace": record.folder,
        "result": record.result,
        "failures": record.failures,
        "sites": {
            name: {
                "scheduler": site.scheduler,
                "job_id": site.job_id,
                "attempts": site.attempts,
                "state": site.state,
            }
            for name, site in record.sites.items()
        },
    }


def json_line(value: Any) -> str:
    """Encode on one line; NaN and infinities, which JSON lacks, become null."""
    return msgspec.json.encode(value).decode()
