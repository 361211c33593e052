"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from ..hpc.resources import SCHEDULERS
from .runs import DEFAULT_WORKSPACE

scheduler = click.option("--scheduler", type=click.Choice(SCHEDULERS), help="Whose jobs; implies --env hpc.")
profile = click.option(
    "--profile",
    metavar="FILE",
    help="A site.toml: settings of this cluster, which hold where the recipe says nothing. A recipe's "
    "hpc_config goes before it, and what a recipe says for one site before both.",
)
sites = click.option(
    "--sites", type=click.IntRange(min=1), help="How many sites; the recipe's min_clients by default."
)
workspace = click.option(
    "--workspace", metavar="DIR", default=DEFAULT_WORKSPACE, type=Path, help="Where the runs are."
)
