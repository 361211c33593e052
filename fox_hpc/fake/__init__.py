"""Fake schedulers: real programs on PATH that run real jobs as local processes on several fake nodes.

`FakeCluster` brings one up. Nothing here imports the rest of fox_hpc, so that a fake can be used,
and trusted, by itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FakeCluster"]


def __getattr__(name: str) -> Any:
    # Lazy, because the programs on PATH import this package and must start in milliseconds.
    if name == "FakeCluster":
        from fox_hpc.fake.cluster import FakeCluster

        return FakeCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
