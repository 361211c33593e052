"""Placing a request that is made of pieces, each on one node. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, Self

from fox_hpc.fake.jobs import Chunk, Node, Share, Want


class Room(Protocol):
    """What is left of one node."""

    @property
    def node(self) -> Node: ...

    @property
    def cpus(self) -> int: ...

    @property
    def mem_mb(self) -> int: ...

    @property
    def gpus(self) -> tuple[int, ...]: ...

    @property
    def idle(self) -> bool: ...

    def minus(self, share: Share) -> Self: ...


def fit_chunks(want: Want, free: Mapping[str, Room]) -> list[Share] | None:
    """One share for each piece, in their order, or None; several pieces may lie on one node."""
    usable = {name: left for name, left in free.items() if left.idle or not want.exclusive}
    if want.spread == "pack":
        tries = (_take(want.chunks, {name: left}, False) for name, left in usable.items())
        shares = next(filter(None, tries), None)
    else:
        shares = _take(want.chunks, usable, want.spread == "scatter")
    return _whole_nodes(shares, usable) if shares and want.exclusive else shares


def holds(left: Room, chunk: Chunk) -> bool:
    """Whether the piece fits into what is left of a node."""
    return (
        chunk.cpus <= left.cpus
        and chunk.mem_mb <= left.mem_mb
        and chunk.gpus <= len(left.gpus)
        and chunk.host in ("", left.node.name)
    )


def _take(chunks: Sequence[Chunk], free: Mapping[str, Room], scatter: bool) -> list[Share] | None:
    left, shares = dict(free), []
    for chunk in chunks:
        name = next((name for name, room in left.items() if holds(room, chunk)), None)
        if name is None:
            return None
        share = Share(name, chunk.tasks, chunk.cpus, chunk.mem_mb, left[name].gpus[: chunk.gpus])
        shares.append(share)
        left[name] = left[name].minus(share)
        if scatter:
            del left[name]
    return shares


def _whole_nodes(shares: list[Share], free: Mapping[str, Room]) -> list[Share]:
    """Shares that leave nothing of their nodes: the last one on each node has what the others left."""
    result = list(shares)
    for index, share in enumerate(shares):
        if share.node not in [other.node for other in shares[index + 1 :]]:
            taken = sum(other.cpus for other in shares[:index] if other.node == share.node)
            result[index] = replace(share, cpus=free[share.node].cpus - taken)
    return result
