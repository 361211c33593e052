"""The keys of a server that sites elsewhere join: its folder, its allow-list, and a kit for each site.

`server.json` holds the server's pair, `allowed.json` the public key of each site. A kit is one file with all
that a site needs; the server keeps no secret of a site.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..errors import RecipeError, WorkspaceError
from .keys import Keys, is_key, load_keys, load_private, new_keys, private_folder, save_private

SERVER = "server"
ALLOWED = "allowed.json"

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
#: Names of cells that are no site's.
_TAKEN = (SERVER, "relay", "public", "allowed")


class Listed(msgspec.Struct, frozen=True):
    """A site of the allow-list: its public key, when that was made, and when it was revoked, if it was."""

    key: str
    made: float
    revoked: float | None = None


class Kit(msgspec.Struct, frozen=True):
    """What a site joins with: its name and pair, the server's public key, and where the server may be."""

    site: str
    public: str
    secret: str
    server_key: str
    server_urls: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Kit of {self.site}>"

    @property
    def keys(self) -> Keys:
        """The site's pair."""
        return Keys(self.site, self.public, self.secret)


def make_server(folder: Path) -> Keys:
    """Make a server's folder with a new pair and an empty allow-list.

    Raises:
        WorkspaceError: there are keys already, or the folder cannot be written.
    """
    if (folder / f"{SERVER}.json").exists():
        raise WorkspaceError(f"{folder} holds a server's keys already: fox-hpc keys rotate makes new ones")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise WorkspaceError(f"{folder} is not empty: a server's keys lie in a folder of their own")
        private_folder(folder)
    except OSError as error:
        raise WorkspaceError(f"keys cannot be written to {folder}: {error.strerror}") from error
    with _writing(folder):
        keys = new_keys(SERVER)
        save_private(folder / ALLOWED, {})
        save_private(folder / f"{SERVER}.json", keys)
    return keys


def add_site(folder: Path, site: str, urls: tuple[str, ...] = (), *, again: bool = False) -> Kit:
    """Make a pair for a site and put it on the allow-list.

    Args:
        again: the site has a key already, which the new one replaces.

    Raises:
        RecipeError: no cell can have that name, or the list has it already (with `again`: has it not).
        WorkspaceError, NotAllowed: as `load_keys`.
    """
    if not _SITE.fullmatch(site) or site in _TAKEN:
        raise RecipeError(
            f"{site!r} cannot be a site's name: up to 63 letters, digits, dashes and underscores are right, "
            f"and none of {', '.join(_TAKEN)}"
        )
    server = load_keys(folder, SERVER)
    with _writing(folder):
        listed = load_listed(folder)
        known = site in listed and listed[site].revoked is None
        if known and not again:
            raise RecipeError(f"{site} has a key already: fox-hpc keys rotate gives it another one")
        if again and site not in listed:
            raise RecipeError(f"{site} has no key that could be replaced; the list has {_names(listed)}")
        keys = new_keys(site)
        save_private(folder / ALLOWED, {**listed, site: Listed(keys.public, time.time())})
    return Kit(site, keys.public, keys.secret, server.public, urls)


def revoke_site(folder: Path, site: str) -> None:
    """Let a site in no more; raises as `add_site` does."""
    with _writing(folder):
        listed = load_listed(folder)
        if site not in listed:
            raise RecipeError(f"{site} is not on the list, which has {_names(listed)}")
        one = listed[site]
        if one.revoked is None:
            gone = Listed(one.key, one.made, time.time())
            save_private(folder / ALLOWED, {**listed, site: gone})


def rotate_server(folder: Path) -> Keys:
    """Give the server a new pair: every kit that was made before is worth nothing then."""
    load_keys(folder, SERVER)
    with _writing(folder):
        keys = new_keys(SERVER)
        save_private(folder / f"{SERVER}.json", keys)
    return keys


def load_listed(folder: Path) -> dict[str, Listed]:
    """Read the allow-list with what was revoked; raises as `load_keys` does."""
    listed = load_private(folder / ALLOWED, dict[str, Listed])
    for site, one in listed.items():
        if not is_key(one.key):
            raise WorkspaceError(f"{folder / ALLOWED} holds no public key of {site}")
    return listed


def load_allowed(folder: Path) -> dict[str, str]:
    """Read which public key each site may come with; raises as `load_keys` does."""
    return {site: one.key for site, one in load_listed(folder).items() if one.revoked is None}


def save_kit(path: Path, kit: Kit) -> None:
    """Write a kit into one file that only this user can read.

    Raises:
        WorkspaceError: it cannot be written.
    """
    try:
        save_private(path, kit)
    except OSError as error:
        raise WorkspaceError(
            f"the kit of {kit.site} cannot be written to {path}: {error.strerror}"
        ) from error


def load_kit(path: Path) -> Kit:
    """Read a kit; raises as `load_keys` does."""
    kit = load_private(path, Kit, alone=True)
    if not all(map(is_key, (kit.public, kit.secret, kit.server_key))) or not _SITE.fullmatch(kit.site):
        raise WorkspaceError(f"{path} is no kit: fox-hpc keys site makes one")
    return kit


class AllowList:
    """A server's allow-list, read again when its file has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._stamp()

    def news(self) -> dict[str, str] | None:
        """Give the list if the file has changed since the last look; raises as `load_keys` does."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        return load_allowed(self._folder)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = (self._folder / ALLOWED).stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_mode)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder: two that add a site at once keep both."""
    try:
        lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise WorkspaceError(f"keys cannot be written to {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise WorkspaceError(f"keys cannot be written to {folder}: {error.strerror}") from error
    finally:
        os.close(lock)


def _names(listed: dict[str, Listed]) -> str:
    return ", ".join(sorted(listed)) or "no site yet"
