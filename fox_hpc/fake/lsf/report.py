"""Where a job's output goes once it has ended, with LSF's report.

The texts are those recorded from OpenLava; the TERM_ line, and the report below the output of a job that
wrote into its file itself (LSB_STDOUT_DIRECT), are IBM's as attested by public job logs.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import IO

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import NODE_FAIL, Job
from fox_hpc.fake.lsf.environ import expand, job_folder
from fox_hpc.fake.lsf.record import TERM_WORDS, counted_hosts, exit_code, record, shown_id, shown_name

LINE = "-" * 60


def captured(folder: Path, stream: str) -> str:
    """Pattern of the spooled file that a stream goes to; a job that is put back starts a new one."""
    return str(folder / "jobs" / "%K" / f"{stream}.%T")


def captured_file(folder: Path, job: Job, stream: str) -> Path:
    return job_folder(folder, job) / f"{stream}.{job.restarts}"


def write_report(engine: Engine, job: Job) -> None:
    """Deliver output and report; what cannot be written is mail, which stays in the spool."""
    if not job.started or job.state == NODE_FAIL:
        return
    asked = record(job).asked
    with contextlib.ExitStack() as files:
        mail = files.enter_context((job_folder(engine.folder, job) / "mail").open("ab"))
        file = _open(files, job, asked.output, asked.overwrite_output and not asked.direct) or mail
        if not asked.report_by_mail:
            file.write(_text(job).encode())
        if not asked.direct:
            _copy(engine, job, "out", file)
        if asked.error and not asked.report_by_mail:
            where = f"Read file <{expand(asked.error, job)}> for stderr output of this job."
            file.write(f"\n\nPS:\n\n{where}\n\n".encode())
        if asked.error and not asked.direct:
            errors = _open(files, job, asked.error, asked.overwrite_error) or mail
            _copy(engine, job, "err", errors)


def _open(files: contextlib.ExitStack, job: Job, pattern: str, overwrite: bool) -> IO[bytes] | None:
    if not pattern:
        return None
    path = Path(job.workdir, expand(pattern, job))
    if path.is_dir():
        path = path / f"{shown_id(job)}.out"
    try:
        return files.enter_context(path.open("wb" if overwrite else "ab"))
    except OSError:
        return None


def _copy(engine: Engine, job: Job, stream: str, target: IO[bytes]) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        captured_file(engine.folder, job, stream).open("rb") as source,
    ):
        shutil.copyfileobj(source, target)


def _text(job: Job) -> str:
    asked, name = record(job).asked, shown_name(job)
    ended = "Exited" if exit_code(job) else "Done"
    hosts = [f"<{host}>" for host in counted_hosts(job)]
    home = job.env.get("HOME", "/")
    head = [LINE] if asked.direct else []
    lines = [
        *head,
        f"Sender: LSF System <lsfadmin@{job.nodes[0]}>",
        f"Subject: Job {shown_id(job)}: <{name}> {ended}",
        "",
        f"Job <{name}> was submitted from host <{job.submit_host}> by user <{job.user}>.",
        f"Job was executed on host(s) {hosts[0]}, in queue <{job.queue}>, as user <{job.user}>.",
        *(f"{'':28}{host}" for host in hosts[1:]),
        f"<{home}> was used as the home directory.",
        f"<{job.workdir}> was used as the working directory.",
        f"Started at {_stamp(job.started)}",
        f"Results reported at {_stamp(record(job).finished)}",
        "",
        "Your job looked like:",
        "",
        LINE,
        "# LSBATCH: User input",
        asked.text,
        LINE,
        "",
        *_ending(job),
        "",
        "Resource usage summary:",
        "",
        "    CPU time   :      0.02 sec.",
        "",
        f"The output (if any) {'is above this job summary.' if asked.direct else 'follows:'}",
        "",
    ]
    return "".join(line + "\n" for line in lines)


def _ending(job: Job) -> list[str]:
    code, term = exit_code(job), record(job).term
    if not code:
        return ["Successfully completed."]
    why = [f"{term}: {TERM_WORDS[term]}."] if term else []
    return [*why, f"Exited with exit code {code}."]


def _stamp(moment: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment))
