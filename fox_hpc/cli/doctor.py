"""`fox-hpc doctor`: examine a cluster from its login node, with one small job."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from ..environment import process_environ, scrubbed
from ..envs.base import make_run_folder
from ..errors import RecipeError, SchedulerError, WorkspaceError
from ..fake import FakeCluster
from ..hpc.probe import candidate_hosts
from ..hpc.profile import Profile, load_profile
from ..hpc.resources import HpcConfig
from ..site.probe_job import our_version
from . import checks, options
from .checks import Check
from .job_checks import check_job, check_reports
from .login import Login, Seen, found_here
from .probing import TIME_LIMIT, Stopped, make_probe_spec, probe
from .recommend import recommended, site_toml
from .runs import json_line
from .signals import Interrupts

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
    seen: Seen = field(default_factory=Seen)
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

    Without --scheduler and a profile it takes the first of Slurm, PBS and LSF whose commands are here.

    The job is started as a site's is, and tries the way back to this host, the shared folder, the clocks
    and TCP between its nodes. It needs a few seconds once it runs, and is cancelled by Ctrl-C. The exit
    code is 0 if nothing failed, else 3. Of a profile the job takes where to run, not how much to ask for.
    """
    if write is not None and write.exists():
        raise RecipeError(f"{write} is there already: give --write another name, or move it away")
    known = Profile() if profile is None else load_profile(profile)
    config = _config(known, partition, account, nodes)
    name = scheduler if scheduler not in (None, "auto") else config.scheduler
    with Interrupts() as stop, ExitStack() as stack:
        environ = scrubbed(process_environ())
        name = found_here(environ) if name == "auto" else name
        if name.startswith("fake-"):
            environ |= _fake(stack, name.removeprefix("fake-"), nodes)
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


def _fake(stack: ExitStack, dialect: str, nodes: int) -> dict[str, str]:
    try:
        environ: dict[str, str] = stack.enter_context(FakeCluster(dialect, nodes, accounts=(), qos=())).env
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
    login = Login(examination.environ, examination.config.partition, nodes, examination.seen)
    yield from login.look(examination.scheduler.removeprefix("fake-"))
    yield checks.check_addresses(candidate_hosts())


def _conclude(examination: Examination, write: Path | None) -> int:
    asked = {**examination.config.as_mapping(), "scheduler": examination.scheduler}
    seen = examination.seen
    tables = recommended(asked, seen.partition, accounting=seen.accounting, remembers_s=seen.remembers_s)
    text = site_toml(tables, examination.found, seen.partition)
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
