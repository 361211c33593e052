"""Keys of a run: one CURVE pair per cell, in files that nobody else can read.

CURVE: RFC 25/ZMTP-CURVE (https://rfc.zeromq.org/spec/25/). Keys are 40 characters of Z85.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zmq
import zmq.utils.z85

from ..errors import NotAllowed, WorkspaceError
from ..spec import write_atomically

T = TypeVar("T")

_PUBLIC = "public.json"


class Keys(msgspec.Struct, frozen=True):
    """One cell's pair of keys; `owner` is the name that the key stands for."""

    owner: str
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"<Keys of {self.owner}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("owner", self.owner)]


def new_keys(owner: str) -> Keys:
    """Make a pair, in memory only."""
    public, secret = zmq.curve_keypair()
    return Keys(owner, public.decode(), secret.decode())


def make_keys(folder: Path, owners: list[str], known: Mapping[str, str] | None = None) -> None:
    """Make a pair for each owner, in a folder that only this user can enter.

    Args:
        known: public keys of others that are written down beside them.

    Raises:
        WorkspaceError: the folder cannot be made or written, or an owner cannot be the name of a file.
    """
    try:
        private_folder(folder)
        made = {owner: new_keys(owner) for owner in owners}
        for owner, keys in made.items():
            save_private(_file(folder, owner), keys)
        save_private(
            folder / _PUBLIC, {owner: keys.public for owner, keys in made.items()} | dict(known or {})
        )
    except OSError as error:
        raise WorkspaceError(f"keys cannot be written to {folder}: {error.strerror}") from error


def private_folder(folder: Path) -> None:
    """Make a folder that only this user can enter; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def load_keys(folder: Path, owner: str) -> Keys:
    """Read one owner's pair.

    Raises:
        NotAllowed: the folder or the file can be read by others.
        WorkspaceError: there is no such file, or it holds no keys.
    """
    path = _file(folder, owner)
    keys = load_private(path, Keys)
    if keys.owner != owner or not (is_key(keys.public) and is_key(keys.secret)):
        raise WorkspaceError(f"{path} holds no keys of {owner}")
    return keys


def load_public(folder: Path) -> dict[str, str]:
    """Read the public key of each owner; raises as `load_keys` does."""
    path = folder / _PUBLIC
    public = load_private(path, dict[str, str])
    for owner, key in public.items():
        if not is_key(key):
            raise WorkspaceError(f"{path} holds no public key of {owner}")
    return public


def _file(folder: Path, owner: str) -> Path:
    name = f"{owner}.json"
    if owner in ("", _PUBLIC.removesuffix(".json")) or owner.startswith(".") or Path(name).name != name:
        raise WorkspaceError(f"{owner!r} cannot be the owner of a key: it is the name of a file too")
    return folder / name


def save_private(path: Path, value: object) -> None:
    """Write a value as JSON into a file that only this user can read; raises OSError."""
    write_atomically(path, msgspec.json.encode(value), 0o600)
    # The umask may have taken more than others' bits.
    path.chmod(0o600)


def load_private(path: Path, kind: type[T], *, alone: bool = False) -> T:
    """Read a file of keys; raises as `load_keys` does.

    Args:
        alone: the file may lie anywhere, its folder is not looked at.
    """
    try:
        if not alone:
            _check_private(path.parent, 0o700)
        _check_private(path, 0o600)
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise WorkspaceError(f"no keys at {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WorkspaceError(f"{path} holds no keys: {error}") from error


def is_key(text: str) -> bool:
    """Tell whether a text is a key in Z85."""
    try:
        return len(zmq.utils.z85.decode(text)) == 32
    except (ValueError, KeyError, UnicodeError, struct.error):
        return False


def _check_private(path: Path, wanted: int) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        raise NotAllowed(f"{path} belongs to user {found.st_uid}; keys are used only if they are your own")
    if mode & 0o077:
        raise NotAllowed(
            f"{path} has mode {mode:04o}; keys are used only if nobody else can read them: "
            f"chmod {wanted:o} {path}"
        )
