"""`fox-hpc new`: a starter project that runs as it is."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import click

from ..errors import RecipeError, WorkspaceError

#: template → what it shows
TEMPLATES = {
    "collab": "functions that the server calls; numpy",
    "client-api": "a training script with receive() and send(); numpy",
    "ddp": "the same on several nodes, each site a batch job; torch",
}
#: Stands in a template for the project's name.
_NAME = "PROJECT"
#: The ending of a template's files: they are read, not imported, from here.
_ENDING = ".in"


@click.command("new")
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice(list(TEMPLATES)),
    default="collab",
    show_default=True,
    help="; ".join(f"{name}: {what}" for name, what in TEMPLATES.items()) + ".",
)
def command(name: str, template: str) -> int:
    """Write a starter project into a new folder NAME.

    It is small, it runs as it is, and its README.md says where your own model and data go.
    """
    folder = Path(name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", folder.name):
        raise RecipeError(
            f"{folder.name!r} is no name of a project: letters, digits, dots and dashes are right"
        )
    if folder.exists():
        raise RecipeError(f"{folder} is there already: nothing was written")
    try:
        folder.mkdir(parents=True)
        for file, text in _files(template, folder.name):
            (folder / file).write_text(text, encoding="utf-8")
            click.echo(f"wrote  {folder / file}")
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(f"run    fox-hpc submit {folder}/recipe.py --env sim")
    return 0


def _files(template: str, name: str) -> list[tuple[str, str]]:
    place = resources.files(__package__) / "templates" / template
    return sorted(
        (each.name.removesuffix(_ENDING), each.read_text(encoding="utf-8").replace(_NAME, name))
        for each in place.iterdir()
        if each.name.endswith(_ENDING)
    )
