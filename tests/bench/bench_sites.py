"""The federation that is measured: a server that runs a given plan, and sites that give back what they get.

A module of its own, which sites import; it loads nothing heavy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from fox_hpc import FoxRecipe, HpcEnv, PocEnv, SimEnv, fox

#: A run that takes longer than this has failed.
RUN_TIMEOUT_S = 1200.0


class Planned:
    """A server whose algorithm is any function of no arguments."""

    def __init__(self, plan: Callable[[], Any]) -> None:
        self.plan = plan

    @fox.algo
    def run(self) -> Any:
        return self.plan()


class Echo:
    """A site that gives back what it gets."""

    @fox.collab
    def echo(self, value: Any) -> Any:
        return value


class Trainer:
    """A site that answers with a model as big as the one it got, and with how many samples it saw."""

    @fox.collab
    def train(self, model: Any) -> Any:
        return model, 1


class Streamer:
    """A site that gives back the parts of a model as they come, and holds none of them."""

    @fox.collab
    def train(self, parts: Iterator[Any]) -> Iterator[Any]:
        yield from parts


class GlooEcho(Echo):
    """The same on ranks that stand in a process group, as training code makes it."""

    @fox.init
    def begin(self) -> None:
        import torch.distributed

        torch.distributed.init_process_group("gloo")

    @fox.final
    def end(self) -> None:
        import torch.distributed

        torch.distributed.destroy_process_group()


def run_plan(
    plan: Callable[[], Any],
    sites: int,
    kind: Callable[..., SimEnv | PocEnv | HpcEnv] = PocEnv,
    *arguments: Any,
    client: object = None,
    **recipe: Any,
) -> Any:
    """Run a plan as the algorithm of a real run, as a user gets it, and give what it returns."""
    with tempfile.TemporaryDirectory(prefix="fox-bench-") as folder:
        env = kind(sites, *arguments, workspace=folder)
        try:
            made = FoxRecipe("bench", sites, Planned(plan), client or Echo(), **recipe)
            return made.execute(env).result(RUN_TIMEOUT_S)
        finally:
            env.stop()
