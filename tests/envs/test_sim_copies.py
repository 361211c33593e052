"""What a place of a simulation gets is its own, and big things lie in memory that is used again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fox_hpc import fox
from fox_hpc.envs.sim import SimEnv
from fox_hpc.envs.sim_copies import Copies
from fox_hpc.recipe import FoxRecipe
from fox_hpc.wire.pages import LEAST_BYTES


def never(_: float, __: Callable[[], None]) -> None:
    """Nothing is given back by time here."""


@pytest.fixture
def copies() -> Copies:
    return Copies(never)


@pytest.mark.parametrize("size", [0, 5, LEAST_BYTES - 1, LEAST_BYTES, 3 * LEAST_BYTES + 7])
def test_a_copy_has_the_same_bytes_and_shares_none(copies: Copies, size: int) -> None:
    frame = bytearray(np.random.default_rng(size).bytes(size))
    before = bytes(frame)
    (copy,) = copies([frame])
    frame[:] = bytes(size)
    assert bytes(copy) == before


def test_what_cannot_be_written_to_is_copied_into_what_can(copies: Copies) -> None:
    (copy,) = copies([bytes(LEAST_BYTES)])
    assert not memoryview(copy).readonly


def test_memory_is_used_again_once_nobody_has_it(copies: Copies) -> None:
    frame = bytes(2 * LEAST_BYTES)
    first = copies([frame])
    where = np.frombuffer(first[0], np.uint8).ctypes.data
    held = copies([frame])
    del first
    gc.collect()
    (again,) = copies([frame])
    assert np.frombuffer(again, np.uint8).ctypes.data == where
    assert np.frombuffer(held[0], np.uint8).ctypes.data != where


def test_nothing_is_kept_once_it_is_closed(copies: Copies) -> None:
    kept = copies([bytes(LEAST_BYTES)])
    copies.close()
    del kept
    gc.collect()
    assert repr(copies) == "<Copies in <WarmMemory 0 bytes idle>>"


class Keeper:
    """A site that goes on with the model that it got, and with the one that it sent."""

    def __init__(self) -> None:
        self.model: Any = None

    @fox.collab
    def keep(self, model: Any) -> Any:
        self.model = model
        model += 1
        return model

    @fox.collab
    def ruin(self) -> float:
        self.model[:] = -1
        return float(self.model.sum())


class Watcher:
    """A server that looks whether anything of its own changes."""

    @fox.algo
    def watch(self) -> list[bool]:
        model = np.zeros(LEAST_BYTES, np.float32)
        answers = [fox.clients.keep(model) for _ in range(3)]
        fox.clients.ruin()
        whole = all((answer == 1).all() for sites in answers for _, answer in sites.items())
        return [bool((model == 0).all()), whole]


def test_a_site_and_the_server_may_go_on_with_big_arrays(tmp_path: Path) -> None:
    recipe = FoxRecipe("keep", 2, Watcher(), Keeper())
    assert recipe.execute(SimEnv(2, workspace=tmp_path)).result(60) == [True, True]
