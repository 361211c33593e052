"""A job's output files: spooled on the first node while it runs, copied to their place at its end."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.details import details, job_id, sequence

INDEX = "^array_index^"
SUFFIX = {"o": "OU", "e": "ER"}


def wanted_path(job: Job, which: str, whole: bool = False) -> str:
    """Where stream `o` or `e` is to end up; with its array index unless `whole`."""
    output = details(job).output
    asked = output.stdout if which == "o" else output.stderr
    index = "" if job.array is None else f".{INDEX}"
    path = asked or str(Path(job.submit_dir, f"{job.name}.{which}{sequence(job)}{index}"))
    if job.array and not whole:
        path = path.replace(INDEX, str(job.array.index))
    return path


def shown_path(engine: Engine, job: Job, which: str, whole: bool = False) -> str:
    """Output_Path or Error_Path; an element that has not started shows the array's."""
    path = wanted_path(job, which, whole or not job.started)
    return f"{job.submit_host}:{path}"


def spool_path(engine: Engine, job: Job, which: str) -> Path:
    """The file that the stream is written to while the job runs."""
    output = details(job).output
    if output.join != "n":
        which = output.join[0]
    if which in output.keep and "d" in output.keep:
        return _in_place(engine, job, which)
    if which in output.keep:
        return Path(details(job).home, Path(wanted_path(job, which)).name)
    return engine.folder / "spool" / f"{job_id(engine, job)}.{SUFFIX[which]}"


def _in_place(engine: Engine, job: Job, which: str) -> Path:
    path = Path(wanted_path(job, which))
    return path / f"{job_id(engine, job)}.{SUFFIX[which]}" if path.is_dir() else path


def deliver(engine: Engine, job: Job) -> None:
    """Copy what was spooled; what cannot be copied stays behind, and the job's record says so."""
    own = details(job)
    joined = own.output.join
    for which in "oe" if joined == "n" else joined[0]:
        source = spool_path(engine, job, which)
        if source.parent != engine.folder / "spool" or not source.exists():
            continue
        if which not in own.output.remove:
            own.staged_out &= _copy(source, _in_place(engine, job, which), engine.folder)
        with contextlib.suppress(FileNotFoundError):
            source.unlink()


def _copy(source: Path, target: Path, folder: Path) -> bool:
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(source.read_bytes())
            return True
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(source.stat().st_mode)
    except OSError:
        lost = folder / "undelivered"
        lost.mkdir(exist_ok=True)
        shutil.copyfile(source, lost / source.name)
        return False
    return True


def open_append(path: Path, umask: int, fresh: bool) -> int:
    """A descriptor that all writers of one stream share the end of; raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
    return os.open(path, flags, 0o666 & ~umask)
