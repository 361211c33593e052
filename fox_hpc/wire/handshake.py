"""The first words between a server and a relay, before any other counts.

A relay says `join`: which sites it serves, for which run if it knows one, and what it can do. The server
answers `welcome`, with what the run is, or `refuse`, with why. The version of the wire format is in every
envelope. A relay that knows no run yet is told which there is, and joins again once it is prepared.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..errors import WireError
from . import codec

#: What this version's relays can do; a server names what it needs.
CAPABILITIES = ("attempt-keys", "data-port")
NEEDED = ("attempt-keys", "data-port")

T = TypeVar("T")


def package_version() -> str:
    """Give the version of fox-hpc that runs here."""
    from importlib import metadata

    try:
        return metadata.version("fox-hpc")
    except metadata.PackageNotFoundError:
        return "unknown"


class Join(msgspec.Struct, frozen=True):
    """What a relay says of itself; `run` is "" if it only asks which run there is."""

    package: str
    sites: tuple[str, ...]
    run: str = ""
    can: tuple[str, ...] = CAPABILITIES


class Welcome(msgspec.Struct, frozen=True):
    """What a relay is told of the run; `data_port` of the same host takes its data connections."""

    package: str
    run: str
    job_name: str = ""
    client_class: str = ""
    sites: tuple[str, ...] = ()
    min_clients: int = 1
    data_port: int = 0


class Refuse(msgspec.Struct, frozen=True):
    """Why a relay may not join, in words for people."""

    words: str


def missing(join: Join) -> str:
    """Say what a relay cannot do that this version's server needs; "" if there is nothing."""
    lacks = [name for name in NEEDED if name not in join.can]
    if not lacks:
        return ""
    return (
        f"{', '.join(join.sites)} runs fox-hpc {join.package}, which cannot do {', '.join(lacks)}; "
        f"this server, fox-hpc {package_version()}, needs that: install the same on both"
    )


def write(value: Join | Welcome | Refuse) -> list[Any]:
    """Encode one of them."""
    return codec.encode(msgspec.to_builtins(value))


def read(frames: list[Any], kind: type[T]) -> T:
    """Decode one of them.

    Raises:
        WireError: the frames hold something else.
    """
    value = codec.decode(frames)
    if not isinstance(value, dict):
        raise WireError(f"this is no {kind.__name__.lower()}: it is a {type(value).__name__}")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise WireError(f"this is no {kind.__name__.lower()}: {error}") from error
