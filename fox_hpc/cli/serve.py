"""`fox-hpc serve`: run a recipe's algorithm here, for sites that join from elsewhere."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from ..envs.base import Run
from ..envs.serve import ServeEnv
from ..errors import RunCancelled
from ..record import RunRecord
from . import options
from .lines import Lines
from .load import load
from .report import exit_code, say
from .runs import json_line, outcome
from .signals import Interrupts

#: Seconds between two looks at a run.
LOOK_S = 0.2


@click.command("serve")
@click.argument("recipe")
@click.option("--bind", metavar="URL", required=True, help="Where to listen: tcp://*:8555, tcp://[::]:8555.")
@click.option("--keys", metavar="DIR", required=True, help="The folder that fox-hpc keys server has made.")
@click.option(
    "--advertise",
    metavar="URL",
    multiple=True,
    help="An address under which sites reach this server, if it is another one; only told.",
)
@click.option(
    "--sites", metavar="N|NAMES", help="How many sites of the allow-list, or a,b,c; all by default."
)
@options.workspace
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line to stdout.")
def command(
    recipe: str,
    bind: str,
    keys: str,
    advertise: tuple[str, ...],
    sites: str | None,
    as_json: bool,
    workspace: Any,
) -> int:
    """Run RECIPE's algorithm, and let the sites of the allow-list join with `fox-hpc join`.

    The line that begins with "ready" says that sites can join. They may come late, drop and return. A
    site that is revoked by `fox-hpc keys revoke` is parted from while the run goes on.

    Ctrl-C, or TERM, cancels the run and the jobs of all sites.
    """
    with Interrupts() as stop, contextlib.redirect_stdout(sys.stderr):
        lines = Lines(as_json).install()
        wanted = int(sites) if sites and sites.isdecimal() else _names(sites)
        env = ServeEnv(bind, keys, wanted, workspace)
        run = load(recipe).recipe.execute(env)
        _announce(lines, env, run, advertise)
        _watch(lines, run, stop)
        return _end(lines, env, run, stop)


def _names(sites: str | None) -> list[str] | None:
    return None if sites is None else [name.strip() for name in sites.split(",")]


def _announce(lines: Lines, env: ServeEnv, run: Run, advertise: tuple[str, ...]) -> None:
    assert env.service is not None
    link = env.service.link
    urls, sites = advertise or (link.url,), list(run.record().sites)
    data_port = env.service.desk.welcome.data_port
    where = f"{', '.join(urls)}, for data at port {data_port}"
    text = f"ready: {run.run_id} waits for {', '.join(sites)} at {where}"
    lines.say(
        "ready",
        text,
        run=run.run_id,
        urls=list(urls),
        port=link.port,
        data_port=data_port,
        sites=sites,
        workspace=str(run.workspace),
    )


def _watch(lines: Lines, run: Run, stop: Interrupts) -> None:
    """Tell each change of a site's state until the run ends; a signal cancels it."""
    before = run.record()
    cancelled = False
    while not run.wait(LOOK_S):
        if stop.count and not cancelled:
            cancelled = True
            lines.say("cancelling", "cancelling the run and its jobs …")
            run.cancel()
        record = run.record()
        _tell_changes(lines, before, record)
        before = record
    _tell_changes(lines, before, run.record())


def _tell_changes(lines: Lines, before: RunRecord, now: RunRecord) -> None:
    for name, site in now.sites.items():
        old = before.sites[name]
        if (old.state, old.ready, old.attempts) != (site.state, site.ready, site.attempts):
            job = f" as job {site.job_id}" if site.job_id else ""
            ready = ", ready" if site.ready else ""
            why = f": {site.reason}" if site.reason else ""
            lines.say(
                "site",
                f"{name} is {site.state}{ready}{job}{why}",
                site=name,
                state=site.state,
                ready=site.ready,
                job_id=site.job_id,
                attempt=site.attempts,
            )
    if now.round != before.round:
        of = f" of {now.rounds}" if now.rounds else ""
        lines.say("round", f"round {now.round}{of} is done", round=now.round, rounds=now.rounds)
    for sentence in now.notices[len(before.notices) :]:
        lines.say("notice", sentence)


def _end(lines: Lines, env: ServeEnv, run: Run, stop: Interrupts) -> int:
    record, code = run.record(), 0
    try:
        run.result()
    except RunCancelled as error:
        say(error)
        code = stop.exit_code
    except Exception as error:
        say(error)
        code = exit_code(error)
    assert env.service is not None
    refused = env.service.io.refusals.counts()
    strangers = ", ".join(f"{count} by {kind}" for kind, count in refused.items())
    result = "" if record.result is None else f"; result: {json_line(record.result)}"
    text = f"{record.state}: {record.run}{result}" + (f"; refused: {strangers}" if strangers else "")
    lines.say("ended", text, refused=refused, **outcome(record))
    return code
