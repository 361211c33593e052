"""Profiles: what is the same for all jobs on one cluster, kept in a file of its own, `site.toml`.

`[job]` holds keys of `hpc_config`, `[relay]` settings of the process that watches the jobs, `[props]` named
values for the code that runs here, `[filters]` what values pass that come here or leave.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..props import checked_props
from ..spec import OwnerSpec, RelaySpec
from .resources import HpcConfig

TABLES = ("job", "relay", "props", "filters")
RELAY_KEYS = ("poll_s", "listen", "advertise", "ports")
FILTER_KEYS = ("incoming", "outgoing", "errors")
ERRORS = ("full", "message", "type")

_FILTER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")


@dataclass(frozen=True)
class Profile:
    """What a site.toml says.

    Args:
        job: keys of `hpc_config`, checked, as far as they differ from the defaults. A recipe's own
            `hpc_config` goes before them, and what a recipe says for one site before both.
        poll_s: seconds between two looks at the queue in steady state; None leaves it to the environment.
        relay: where the relay listens for its workers.
        owner: the props and filters that hold here whatever a recipe says.
    """

    job: Mapping[str, Any] = field(default_factory=dict)
    poll_s: float | None = None
    relay: RelaySpec = field(default_factory=RelaySpec)
    owner: OwnerSpec = field(default_factory=OwnerSpec)


def load_profile(path: str | os.PathLike[str]) -> Profile:
    """Read a site.toml.

    Raises:
        RecipeError: it cannot be read, is no TOML, or says something that is unknown or cannot be right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RecipeError(f"the profile {path} cannot be read: {why}") from error
    return read_profile(text, str(path), folder=str(Path(path).resolve().parent))


def read_profile(text: str, where: str = "site.toml", *, folder: str = "") -> Profile:
    """Read the text of a site.toml, which lies in a folder; raises as `load_profile` does."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where} is not TOML: {error}") from error
    for name, table in tables.items():
        if name not in TABLES:
            right = [f"[{each}]" for each in TABLES]
            # A key of [job] above its heading is the likely slip.
            raise RecipeError(f"{where} has no {name!r} outside of a table; right are {' and '.join(right)}")
        if not isinstance(table, dict):
            raise RecipeError(f"{where}: {name!r} is a table, written [{name}]")
    job = HpcConfig.from_mapping(tables.get("job", {}), f"{where} [job]")
    relay, said = tables.get("relay", {}), f"{where} [relay]"
    for key in relay:
        if key not in RELAY_KEYS:
            raise RecipeError(f"{said} has no key {key!r}{_guess(key, RELAY_KEYS)}")
    owner = _owner(tables.get("props", {}), tables.get("filters", {}), where, folder)
    return Profile(job.as_mapping(), _poll_s(relay, said), _relay(relay, said), owner)


def _owner(props: Mapping[str, Any], filters: Mapping[str, Any], where: str, folder: str) -> OwnerSpec:
    said = f"{where} [filters]"
    for key in filters:
        if key not in FILTER_KEYS:
            raise RecipeError(f"{said} has no key {key!r}{_guess(key, FILTER_KEYS)}")
    errors = filters.get("errors", "full")
    if errors not in ERRORS:
        raise RecipeError(f"{said}: errors={errors!r}: {', '.join(map(repr, ERRORS))} are right")
    return OwnerSpec(
        checked_props(f"{where} [props]", props),
        _filters(filters, "incoming", said),
        _filters(filters, "outgoing", said),
        folder if filters else "",
        errors,
    )


def _filters(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    names = table.get(key, [])
    right = isinstance(names, list) and all(isinstance(one, str) and _FILTER.fullmatch(one) for one in names)
    if not right:
        raise RecipeError(f"{where}: {key}={names!r}: a list is right, ['module:function']")
    return tuple(names)


def _poll_s(table: Mapping[str, Any], where: str) -> float | None:
    value = table.get("poll_s")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise RecipeError(f"{where}: poll_s={value!r}: a number of seconds above 0 is right")
    return float(value)


def _relay(table: Mapping[str, Any], where: str) -> RelaySpec:
    listen, advertise = table.get("listen", "*"), table.get("advertise", [])
    if not isinstance(listen, str) or not listen:
        raise RecipeError(f"{where}: listen={listen!r}: an address of this host is right, or '*', or '::'")
    if not isinstance(advertise, list) or not all(isinstance(one, str) and one for one in advertise):
        raise RecipeError(f"{where}: advertise={advertise!r}: a list is right, ['login1-ib0', '10.1.0.5']")
    ports = table.get("ports")
    return RelaySpec(
        listen, tuple(advertise), None if ports is None else read_ports(ports, f"{where}: ports")
    )


def read_ports(text: object, where: str) -> tuple[int, int]:
    """Read a range of ports, `20000-20010`; raises RecipeError."""
    match = _PORTS.fullmatch(text) if isinstance(text, str) else None
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    # One port is for messages, another for data.
    if not 1 <= first < last <= 65535:
        raise RecipeError(f"{where}={text!r}: a range of ports is right, two or more: '20000-20010'")
    return first, last


def _guess(key: str, right: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, right, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; right: {', '.join(right)}"
