"""`fox-hpc keys`: the keys of a server that sites of other institutions join."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec
from rich.table import Table

from ..wire import key_folder
from ..wire.key_folder import Kit
from .runs import json_line
from .view import make_console

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_OUT = click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Where the kit goes; SITE.kit by default."
)
_URLS = click.option(
    "--server-url",
    "urls",
    metavar="URL",
    multiple=True,
    help="An address of the server, tcp://host:port, that the kit names; may be given several times.",
)


@click.group("keys")
def command() -> None:
    """Make and revoke the keys of a server and its sites."""


@command.command("server")
@_FOLDER
def server(folder: Path) -> None:
    """Make DIR with a server's keys and an empty allow-list; nobody else may enter it."""
    key_folder.make_server(folder)
    click.echo(f"{folder} holds the server's keys; fox-hpc keys site {folder} SITE lets a site in")


@command.command("site")
@_FOLDER
@click.argument("site")
@_OUT
@_URLS
def site(folder: Path, site: str, out: Path | None, urls: tuple[str, ...]) -> None:
    """Put SITE on the allow-list of DIR and write its kit: one file with all that the site joins with.

    The kit is a secret. It goes to the site by a way that nobody else can read; a copy need not be kept.
    """
    path = _free(out or Path(f"{site}.kit"))
    _hand_out(path, key_folder.add_site(folder, site, urls))


@command.command("list")
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(folder: Path, as_json: bool) -> None:
    """Show which sites may join, and which may not any more."""
    listed = key_folder.load_listed(folder)
    if as_json:
        click.echo(json_line(msgspec.to_builtins(listed)))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("site", "key", "made", "may join"):
        table.add_column(column, no_wrap=True)
    for name, one in sorted(listed.items()):
        may = "yes" if one.revoked is None else f"no, revoked {_day(one.revoked)}"
        table.add_row(name, f"{one.key[:8]}…", _day(one.made), may)
    make_console().print(table)


@command.command("revoke")
@_FOLDER
@click.argument("site")
def revoke(folder: Path, site: str) -> None:
    """Let SITE in no more. A server that runs parts from it within two seconds."""
    key_folder.revoke_site(folder, site)
    click.echo(f"{site} may not join any more")


@command.command("rotate")
@_FOLDER
@click.argument("owner", metavar="SITE|server")
@_OUT
@_URLS
def rotate(folder: Path, owner: str, out: Path | None, urls: tuple[str, ...]) -> None:
    """Give SITE another key and kit, or the server another key.

    The old key counts for nothing from then on. With the server's key every kit is worth nothing: each
    site needs another one.
    """
    if owner == key_folder.SERVER:
        key_folder.rotate_server(folder)
        click.echo(f"the server has a new key: start it again, and give every site a kit by fox-hpc keys "
                   f"rotate {folder} SITE")  # fmt: skip
        return
    path = out or Path(f"{owner}.kit")
    _hand_out(path, key_folder.add_site(folder, owner, urls, again=True))


def _free(path: Path) -> Path:
    if path.exists():
        raise click.UsageError(f"{path} is there already: --out names another file")
    return path


def _hand_out(path: Path, kit: Kit) -> None:
    key_folder.save_kit(path, kit)
    click.echo(f"{path} is the kit of {kit.site}: whoever has it joins as {kit.site}")


def _day(clock: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(clock))
