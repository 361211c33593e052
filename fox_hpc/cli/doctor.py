"""`fox-hpc doctor`: examine a cluster from its login node, with one small job."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from ..environment import process_environ, scrubbed
from ..envs.base import make_run_folder
from ..errors import RecipeError, SchedulerError, WorkspaceError
from ..fake import FakeCluster
from ..hpc.dialect import Answer
from ..hpc.probe import candidate_hosts
from ..hpc.profile import Profile, load_profile
from ..hpc.resources import HpcConfig
from ..site.probe_job import our_version
from . import checks, options
from .checks import Check, Partition
from .job_checks import check_job, check_reports
from .probing import TIME_LIMIT, Stopped, make_probe_spec, probe
from .recommend import recommended, site_toml
from .runs import json_line
from .signals import Interrupts

#: How long a command of the scheduler may take.
COMMAND_S = 30.0
KNOWN = ("slurm", "fake-slurm")
#: What the examination's job takes from a profile: where it runs, and not how much it asks for.
PLACE = (
    "partition",
    "account",
    "qos",
    "constraint",
    "directives",
    "prologue",
    "python",
    "container",
    "launcher",
)
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass
class Examination:
    """What was asked for, and what has been found so far."""

    environ: Mapping[str, str]
    scheduler: str
    config: HpcConfig
    as_json: bool
    found: list[Check] = field(default_factory=list)
    partition: Partition | None = None
    accounting: bool = True
    remembers_s: int | None = None
    left: str = ""

    def tell(self, check: Check) -> None:
        """Take a check, and show it at once."""
        self.found.append(check)
        if self.as_json:
            return
        level = click.style(f"{check.level:<5}", fg=_COLOURS[check.level])
        click.echo(f"{level} {check.name:<14} {check.found}")
        if check.advice:
            click.echo(f"{'':<20} → {check.advice}")


@click.command("doctor")
@options.scheduler
@options.profile
@click.option("--partition", help="Where the job goes; the default partition if nothing says so.")
@click.option("--account", help="Whom the job is charged to.")
@click.option("--nodes", type=click.IntRange(min=1), default=2, show_default=True, help="Nodes of the job.")
@click.option("--torch", is_flag=True, help="Also sum a number over the nodes with torch.")
@click.option("--no-job", is_flag=True, help="Look at this host only; submit nothing.")
@click.option(
    "--timeout", default=300.0, show_default=True, help="Seconds that the job may wait in the queue."
)
@click.option("--write", metavar="FILE", type=Path, help="Write the settings that follow, as a site.toml.")
@click.option("--workspace", metavar="DIR", help="The shared folder to try; fox_runs by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else.")
def command(
    scheduler: str | None,
    profile: str | None,
    partition: str | None,
    account: str | None,
    nodes: int,
    write: Path | None,
    **how: Any,
) -> int:
    """Examine this cluster: its commands, and by one small job the ways that a run depends on.

    The job is started as a site's is, and tries the way back to this host, the shared folder, the clocks
    and TCP between its nodes. It needs a few seconds once it runs, and is cancelled by Ctrl-C. The exit
    code is 0 if nothing failed, else 3. Of a profile the job takes where to run, not how much to ask for.
    """
    if write is not None and write.exists():
        raise RecipeError(f"{write} is there already: give --write another name, or move it away")
    known = Profile() if profile is None else load_profile(profile)
    config = _config(known, partition, account, nodes)
    name = scheduler if scheduler not in (None, "auto") else config.scheduler
    name = "slurm" if name == "auto" else name
    if name not in KNOWN:
        raise RecipeError(f"doctor does not know scheduler {name!r}: {', '.join(KNOWN)} are right")
    with Interrupts() as stop, ExitStack() as stack:
        environ = scrubbed(process_environ())
        if name == "fake-slurm":
            environ |= _fake(stack, nodes)
        examination = Examination(environ, name, config, how["as_json"])
        try:
            _examine(examination, nodes, stop, how)
        except Stopped:
            click.echo(f"stopped{examination.left}", err=True)
            return stop.exit_code
    return _conclude(examination, write)


def _config(profile: Profile, partition: str | None, account: str | None, nodes: int) -> HpcConfig:
    place = {name: value for name, value in profile.job.items() if name in (*PLACE, "scheduler")}
    options = {"partition": partition, "account": account}
    place |= {name: value for name, value in options.items() if value is not None}
    return HpcConfig.from_mapping({**place, "nodes_per_client": nodes, "time_limit": TIME_LIMIT}, "doctor")


def _fake(stack: ExitStack, nodes: int) -> dict[str, str]:
    try:
        environ: dict[str, str] = stack.enter_context(FakeCluster(nodes=nodes, accounts=(), qos=())).env
    except RuntimeError as error:
        raise SchedulerError(str(error)) from error
    return environ


def _examine(examination: Examination, nodes: int, stop: Interrupts, how: Mapping[str, Any]) -> None:
    for check in _login_checks(examination, nodes):
        examination.tell(check)
        if stop.count:
            raise Stopped
    if how["no_job"]:
        return
    if checks.worst(examination.found) == "fail":
        examination.tell(Check("fail", "job", "not submitted", "first mend what failed above"))
        return
    run, folder = make_run_folder("doctor", how["workspace"])
    folder.chmod(0o700)
    examination.left = f"; the job was cancelled, and what it wrote is in {folder}"
    spec = make_probe_spec(folder, run, examination.scheduler, examination.config)
    if not examination.as_json:
        click.echo(
            f"{'':<20} (a job of {nodes} nodes is submitted, and may wait; Ctrl-C cancels it)", err=True
        )
    probed = probe(
        spec,
        examination.environ,
        torch=how["torch"],
        pending_s=how["timeout"],
        stopped=lambda: bool(stop.count),
    )
    examination.tell(check_job(probed, nodes))
    for check in check_reports(probed.reports, platform.python_version(), our_version(), how["torch"]):
        examination.tell(check)
    if checks.worst(examination.found) == "fail":
        click.echo(f"what the job wrote is in {folder}", err=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _login_checks(examination: Examination, nodes: int) -> Iterator[Check]:
    """Look at what this host alone can tell."""
    environ = examination.environ
    paths = {name: shutil.which(name, path=environ.get("PATH")) for name in (*checks.NEEDED, *checks.USEFUL)}
    yield checks.check_commands(paths, _run(checks.VERSION, environ))
    if paths["sinfo"]:
        examination.remembers_s = checks.read_min_job_age(_run(checks.CONFIG, environ))
        sacct = _run(checks.ACCOUNTING, environ)
        examination.accounting = not sacct.problem
        yield checks.check_accounting(sacct, examination.remembers_s)
        sinfo = _run(checks.PARTITIONS, environ)
        partitions = checks.read_partitions(sinfo)
        wanted = examination.config.partition
        examination.partition = checks.choose(partitions, wanted)
        yield checks.check_partition(partitions, wanted, nodes, sinfo)
    yield checks.check_addresses(candidate_hosts())


def _run(command: Sequence[str], environ: Mapping[str, str]) -> Answer:
    """Run a command to its end; one that is missing or does not end is an answer too."""
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        return Answer(tuple(command), 127, "", "not on PATH")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(tuple(command), 124, "", f"no answer within {COMMAND_S:g} s")
    except OSError as error:
        return Answer(tuple(command), 126, "", error.strerror or str(error))
    return Answer(tuple(command), done.returncode, done.stdout, done.stderr)


def _conclude(examination: Examination, write: Path | None) -> int:
    asked = {**examination.config.as_mapping(), "scheduler": examination.scheduler}
    tables = recommended(
        asked,
        examination.partition,
        accounting=examination.accounting,
        remembers_s=examination.remembers_s,
    )
    text = site_toml(tables, examination.found, examination.partition)
    if write is not None:
        try:
            write.write_text(text, encoding="utf-8")
        except OSError as error:
            raise WorkspaceError(f"{write} cannot be written: {error.strerror}") from error
    level = checks.worst(examination.found)
    if examination.as_json:
        told = {
            "level": level,
            "checks": [asdict(check) for check in examination.found],
            "recommended": tables,
            "written": str(write) if write else None,
        }
        click.echo(json_line(told))
    elif write is not None:
        click.echo(f"\nwrote {write}: fox-hpc submit recipe.py --profile {write}")
    elif level != "fail":
        click.echo(f"\nrecommended, and written by --write site.toml:\n\n{_bare(text)}")
    return 3 if level == "fail" else 0


def _bare(text: str) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "\n".join(f"  {line}" for line in lines)
