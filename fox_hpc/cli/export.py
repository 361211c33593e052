"""`fox-hpc export`: write a recipe and its code as a folder to review, sign and run elsewhere."""

from __future__ import annotations

import click

from ..export.folder import JOB, MANIFEST
from .load import load


@click.command("export")
@click.argument("recipe")
@click.argument("folder")
@click.option(
    "--code",
    metavar="NAME",
    help="Copy the recipe's modules to this folder within FOLDER, e.g. src; else they are named only.",
)
def command(recipe: str, folder: str, code: str | None) -> int:
    """Write RECIPE as FOLDER, which `fox-hpc submit FOLDER` runs anywhere.

    The folder has the recipe file, job.json with its arguments for whoever reviews it, and
    MANIFEST.sha256 with the sum of each file. Sign the manifest, and the whole folder is signed. submit,
    render, serve and join check each file before they run one.
    """
    made = load(recipe).recipe.export(folder, code)
    click.echo(
        f"folder  {made}\nread    {made / JOB}\nsign    {made / MANIFEST}\nrun     fox-hpc submit {made}"
    )
    return 0
