"""Keys of a run: one CURVE pair per cell, in files that nobody else can read.

CURVE: RFC 25/ZMTP-CURVE (https://rfc.zeromq.org/spec/25/). Keys are 40 characters of Z85.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq

from ..errors import NotAllowed, WorkspaceError
from ..spec import write_atomically

T = TypeVar("T")


class Keys(msgspec.Struct, frozen=True):
    """One cell's pair of keys; `owner` is the name that the key stands for."""

    owner: str
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"<Keys of {self.owner}>"


def make_keys(folder: Path, owners: list[str]) -> None:
    """Make a pair for each owner, in a folder that only this user can enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for owner in owners:
        public, secret = zmq.curve_keypair()
        keys = Keys(owner, public.decode(), secret.decode())
        write_atomically(folder / f"{owner}.json", msgspec.json.encode(keys), 0o600)
    public_keys = {owner: load_keys(folder, owner).public for owner in owners}
    write_atomically(folder / "public.json", msgspec.json.encode(public_keys), 0o600)


def load_keys(folder: Path, owner: str) -> Keys:
    """Read one owner's pair.

    Raises:
        NotAllowed: the folder or the file can be read by others.
        WorkspaceError: there is no such file, or it holds no keys.
    """
    return _load(folder, f"{owner}.json", Keys)


def load_public(folder: Path) -> dict[str, str]:
    """Read the public key of each owner; raises as `load_keys` does."""
    return _load(folder, "public.json", dict[str, str])


def _load(folder: Path, name: str, kind: type[T]) -> T:
    path = folder / name
    try:
        _check_private(folder, 0o700)
        _check_private(path, 0o600)
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise WorkspaceError(f"no keys at {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WorkspaceError(f"{path} holds no keys: {error}") from error


def _check_private(path: Path, wanted: int) -> None:
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise NotAllowed(
            f"{path} has mode {mode:04o} and owner {found.st_uid}; keys are used only if nobody else can "
            f"read them: chmod {wanted:o} {path}"
        )
