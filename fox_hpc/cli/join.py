"""`fox-hpc join`: one site's part in a run whose server is elsewhere; runs on the site's login node."""

from __future__ import annotations

from pathlib import Path

import click

from ..hpc.profile import read_ports
from ..hpc.resources import SCHEDULERS
from ..site.door import AWAY_S
from ..wire.key_folder import load_kit
from . import options
from .joining import Joining, NotPrepared, urls_of
from .lines import Lines
from .signals import Interrupts


@click.command("join")
@click.option("--kit", metavar="FILE", required=True, help="The kit that the server's owner gave this site.")
@click.option("--recipe", metavar="FILE", required=True, help="This site's own copy of the recipe.")
@click.option(
    "--server",
    "servers",
    metavar="URL",
    multiple=True,
    help="Where the server is, tcp://host:port; the kit's addresses by default.",
)
@click.option(
    "--site",
    "profile",
    metavar="FILE",
    help="A site.toml: settings of this cluster, and where its relay listens for the workers.",
)
@click.option(
    "--scheduler", type=click.Choice([*SCHEDULERS, "local"]), default="auto", help="Whose job; local: none."
)
@click.option(
    "--port-range", metavar="A-B", help="Where the relay listens for its workers; a free port else."
)
@options.workspace
@click.option(
    "--away",
    "away_s",
    metavar="SECONDS",
    type=click.FloatRange(min=1.0),
    default=AWAY_S,
    show_default=True,
    help="How long the server may be out of touch before this site's job is cancelled.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line to stdout.")
def command(
    kit: str,
    recipe: str,
    servers: tuple[str, ...],
    profile: str | None,
    scheduler: str,
    port_range: str | None,
    workspace: Path,
    away_s: float,
    as_json: bool,
) -> int:
    """Take part in the run of a server elsewhere, until it is over.

    What runs here is this site's own copy of the recipe; no code comes from the server. The site's share
    is submitted to the scheduler of this login node, and a relay in this process watches it.

    The line that begins with "ready" says that the server listens. A server that is not there yet is
    waited for, and one that was started again is joined again. If this process is killed, another one
    takes up its job; Ctrl-C, or TERM, cancels the job and leaves the run.
    """
    loaded = load_kit(Path(kit))
    urls = urls_of(servers, loaded)
    ports = None if port_range is None else read_ports(port_range, "--port-range")
    with Interrupts() as stop:
        lines = Lines(as_json).install()
        joining = Joining(loaded, urls, recipe, workspace, lines, stop, scheduler, profile, ports, away_s)
        try:
            return joining.serve()
        except NotPrepared as error:
            return error.code
