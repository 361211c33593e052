"""What `-l` asks for: select, place, nodes, walltime and single resources. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fox_hpc.fake.jobs import Chunk, Want
from fox_hpc.fake.request import Refused

COUNTS = ("ncpus", "ngpus", "mpiprocs", "ompthreads")
SIZES = ("mem", "vmem")
NAMES = ("host", "vnode", "arch")
PER_JOB = ("walltime", "cput", "software", "min_walltime", "max_walltime")
NOT_PRINTED = ("mpiprocs", "ompthreads", "host", "vnode", "arch")
UNITS = {"b": -10, "kb": 0, "mb": 10, "gb": 20, "tb": 30, "": -10}
PLACES = ("", "free", "pack", "scatter", "vscatter")
SHARINGS = ("excl", "exclhost", "shared")


@dataclass(frozen=True)
class Piece:
    """One part of a select statement: so many chunks, each with these resources, as written."""

    count: int
    values: tuple[tuple[str, str], ...]

    def get(self, name: str, default: int = 0) -> int:
        text = dict(self.values).get(name)
        return default if text is None else int(text)


@dataclass(frozen=True)
class Request:
    """What one job asks for, as PBS shows it."""

    pieces: tuple[Piece, ...]
    place: str
    shown: dict[str, str] = field(default_factory=dict)
    """Resource_List, its keys in order."""
    walltime_s: float = 0.0

    @property
    def chunks(self) -> list[Piece]:
        return [piece for piece in self.pieces for _ in range(piece.count)]

    def want(self) -> Want:
        words = self.place.split(":")
        spread = next((word for word in words if word in PLACES), "")
        exclusive = any(word.startswith("excl") for word in words)
        chunks = tuple(
            Chunk(p.get("ncpus", 1), -(-size_kb(dict(p.values).get("mem", "0")) // 1024), p.get("ngpus"),
                  p.get("mpiprocs", 1), dict(p.values).get("host", dict(p.values).get("vnode", "")))
            for p in self.chunks
        )  # fmt: skip
        return Want(chunks=chunks, spread=spread.removeprefix("v"), exclusive=exclusive)


def size_kb(text: str) -> int:
    """Kilobytes of `2gb`, `100mb`, `512`; raises ValueError."""
    match = re.fullmatch(r"(\d+)([kmgt]?b|)", text.lower())
    if match is None:
        raise ValueError(text)
    shift = UNITS[match[2]]
    number = int(match[1])
    return number << shift if shift >= 0 else -(-number >> -shift)


def seconds(text: str) -> float:
    """Seconds of `60`, `5:00`, `1:00:00`; raises ValueError."""
    if not re.fullmatch(r"\d+(:\d+){0,2}(\.\d+)?", text):
        raise ValueError(text)
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def clock(length_s: float) -> str:
    """HH:MM:SS."""
    whole = int(length_s)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def read(lists: Sequence[str]) -> Request:
    """The values of all -l options; raises Refused as qsub does."""
    values: dict[str, str] = {}
    for text in lists:
        for part in _split(text):
            name, _, value = part.partition("=")
            values.setdefault(name.strip(), value.strip())
    _check_mix(values)
    pieces, place = _pieces(values)
    walltime_s = _walltime(values)
    shown = _shown(values, pieces, place)
    return Request(pieces, place, dict(sorted(shown.items())), walltime_s)


def _split(text: str) -> list[str]:
    """At commas, except those of `nodes=a:ppn=1+b,mem=…`, which have a name and `=` behind them anyway."""
    return [part for part in text.split(",") if part.strip()]


def _check_mix(values: dict[str, str]) -> None:
    together = "select" in values or "place" in values
    single = [name for name in values if name in (*COUNTS, *SIZES, *NAMES)]
    if "select" in values and "nodes" in values:
        raise Refused("qsub: Cannot be used with select or place: nodes", 6)
    if together and single:
        words = '"-lresource=" cannot be used with "select" or "place", resource is: '
        raise Refused(f"qsub: {words}{single[0]}", 5)
    known = {"select", "place", "nodes", *COUNTS, *SIZES, *NAMES, *PER_JOB}
    for name in values:
        if name not in known:
            raise Refused(f"qsub: Unknown resource Resource_List.{name}", 187)


def _pieces(values: dict[str, str]) -> tuple[tuple[Piece, ...], str]:
    place = values.get("place", "")
    if any(word not in (*PLACES, *SHARINGS) and not word.startswith("group=") for word in place.split(":")):
        raise Refused("qsub: Illegal attribute or resource value Resource_List.place", 166)
    if "select" in values:
        return tuple(_piece(text) for text in values["select"].split("+")), place or "free"
    if "nodes" in values:
        return tuple(_node_piece(text) for text in values["nodes"].split("+")), "scatter"
    single = sorted((name, value) for name, value in values.items() if name in (*COUNTS, *SIZES, *NAMES))
    for name, value in single:
        _check(name, value, "Resource_List.")
    if "ncpus" not in values:
        single.append(("ncpus", "1"))
    return (Piece(1, tuple(sorted(single))),), place or "pack"


def _piece(text: str) -> Piece:
    parts = text.split(":")
    count = 1
    if "=" not in parts[0]:
        if not parts[0].isdigit() or not int(parts[0]):
            raise Refused("qsub: Illegal attribute or resource value", 166)
        count = int(parts.pop(0))
    values = []
    for part in parts:
        name, _, value = part.partition("=")
        if name not in (*COUNTS, *SIZES, *NAMES):
            raise Refused(f"qsub: Unknown resource: {name}", 187)
        _check(name, value, "select.")
        values.append((name, value))
    return Piece(count, tuple(values))


def _check(name: str, value: str, where: str) -> None:
    try:
        if name in COUNTS:
            int(value)
        elif name in SIZES:
            size_kb(value)
    except ValueError:
        raise Refused(f"qsub: Illegal attribute or resource value {where}{name}", 166) from None


def _node_piece(text: str) -> Piece:
    """`2:ppn=2` or `cn02:ppn=1` as the select piece that it is turned into."""
    first, *properties = text.split(":")
    per_node = 1
    for part in properties:
        name, _, value = part.partition("=")
        if name not in ("ppn", "ncpus") or not value.isdigit():
            raise Refused(f"qsub: Unknown node property {part}", 187)
        per_node = int(value)
    values = [("ncpus", str(per_node))]
    if per_node > 1:
        values.append(("mpiprocs", str(per_node)))
    if first.isdigit():
        return Piece(int(first), tuple(values))
    return Piece(1, (*values, ("host", first)))


def _walltime(values: dict[str, str]) -> float:
    try:
        return seconds(values["walltime"]) if "walltime" in values else 0.0
    except ValueError:
        raise Refused("qsub: Illegal attribute or resource value Resource_List.walltime", 166) from None


def _shown(values: dict[str, str], pieces: Sequence[Piece], place: str) -> dict[str, str]:
    shown = {"nodect": str(sum(piece.count for piece in pieces)), "place": place}
    shown["select"] = "+".join(_text(piece) for piece in pieces)
    shown["ncpus"] = str(sum(piece.count * piece.get("ncpus", 1) for piece in pieces))
    for name in ("ngpus", "mpiprocs"):
        total = sum(piece.count * piece.get(name) for piece in pieces)
        if total:
            shown[name] = str(total)
    memory = [(piece.count, dict(piece.values)["mem"]) for piece in pieces if "mem" in dict(piece.values)]
    if memory:
        shown["mem"] = _sum_of_sizes(memory)
    if "nodes" in values:
        shown["nodes"] = values["nodes"]
    if "walltime" in values:
        shown["walltime"] = clock(_walltime(values))
    return shown


def _text(piece: Piece) -> str:
    return ":".join([str(piece.count), *(f"{name}={value}" for name, value in piece.values)])


def _sum_of_sizes(sizes: Sequence[tuple[int, str]]) -> str:
    units = {re.sub(r"\d+", "", text).lower() for _, text in sizes}
    if len(units) == 1:
        return f"{sum(n * int(re.sub(r'[^0-9]', '', text)) for n, text in sizes)}{units.pop()}"
    return f"{sum(n * size_kb(text) for n, text in sizes)}kb"


def vnode(node: str, piece: Piece) -> str:
    """One part of exec_vnode."""
    values = [
        f"{name}={size_kb(value)}kb" if name in SIZES else f"{name}={value}"
        for name, value in piece.values
        if name not in NOT_PRINTED
    ]
    if not any(text.startswith("ncpus=") for text in values):
        values.append("ncpus=1")
    return f"({node}:{':'.join(values)})"
