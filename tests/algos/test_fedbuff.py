"""FedBuff: who answers when is written down, so that numpy can follow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import SITES, SIZE, Array, Site, descend, run, start, target

from fox_hpc import FoxRecipe, GroupError, RecipeError, RunCancelled, SimEnv, fox
from fox_hpc.algos import FedBuff


class Script:
    """Lets sites answer in a written order: each waits until the answer before its own was used.

    It was when its site has been asked again, since the server sends the next model only then.
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order, self._changed = order, threading.Condition()
        self._asked = dict.fromkeys(SITES, 0)

    def wait(self, site: str) -> bool:
        """Wait for this site's next turn; False once nobody waits for it any more."""
        with self._changed:
            self._asked[site] += 1
            self._changed.notify_all()
            turns = [number for number, name in enumerate(self._order) if name == site]
            turn = turns[self._asked[site] - 1] if self._asked[site] <= len(turns) else None
            while turn is None or not self._was_used(turn - 1):
                if fox.is_aborted:
                    return False
                self._changed.wait(0.01)
            return True

    def _was_used(self, turn: int) -> bool:
        if turn < 0:
            return True
        site = self._order[turn]
        return self._asked[site] > list(self._order[: turn + 1]).count(site)


class Turns(Site):
    """Answers when it is its turn."""

    def __init__(self, script: Script, **how: Any) -> None:
        super().__init__(**how)
        self._script = script

    def __deepcopy__(self, memo: dict[int, Any]) -> Turns:
        return Turns(self._script, lr=self.lr, steps=self.steps, same=self.same)

    def step(self, w: Array, model: Any) -> Array:
        if not self._script.wait(fox.site_name):
            return w  # nobody reads it
        return super().step(w, model)


def by_numpy(order: list[str], site: Site, buffer: int, lr: float, decay: float) -> tuple[Array, list[int]]:
    """Algorithm 1 of the paper, for a given order of answers."""
    w, version, staleness = np.zeros(SIZE), 0, []
    held = dict.fromkeys(SITES, (w, 0))
    total: Any = np.zeros(SIZE)
    for number, name in enumerate(order, 1):
        base, got = held[name]
        delta = descend(name, base, site.lr, site.steps, same=site.same) - base
        staleness.append(version - got)
        total = total + delta * (1 + version - got) ** -decay
        if number % buffer == 0:
            w, version, total = w + lr * total / buffer, version + 1, np.zeros(SIZE)
        held[name] = w, version
    return w, staleness


ORDER = [SITES[each] for each in (0, 1, 0, 0, 2, 0, 1, 0, 3, 2, 0, 1)]


def test_answers_count_by_how_old_their_model_is(tmp_path: Path) -> None:
    site = Turns(Script(ORDER), steps=3)
    found = run(FedBuff(start(), 6, buffer=2, lr=0.9), site, tmp_path)
    expected, staleness = by_numpy(ORDER, site, 2, 0.9, 0.5)

    assert max(staleness) == 4
    assert np.allclose(found["w"], expected, atol=1e-12)


def test_sites_that_agree_lead_to_their_optimum_however_slow_one_is(tmp_path: Path) -> None:
    order = [SITES[each] for each in (0, 1, 2, 0, 1, 2, 3, 0) * 12]
    site = Turns(Script(order), lr=0.8, steps=3, same=True)
    found = run(FedBuff(start(), len(order) // 2, buffer=2, decay=1.0), site, tmp_path)

    assert np.allclose(found["w"], target(SITES[0]), atol=1e-6)


def test_parallel_bounds_how_many_train_and_sites_take_turns(tmp_path: Path) -> None:
    # One at a time: no answer is old, and the order is that of the sites.
    site = Site(steps=2)
    found = run(FedBuff(start(), 6, buffer=1, parallel=1), site, tmp_path)
    expected, staleness = by_numpy([*SITES, *SITES[:2]], site, 1, 1.0, 0.5)
    w = np.zeros(SIZE)
    for name in [*SITES, *SITES[:2]]:
        w = descend(name, w, 0.1, 2)

    assert np.allclose(found["w"], w, atol=1e-12)
    assert staleness[-1] > 0
    assert not np.allclose(expected, w)


class Breaks(Site):
    """Some sites fail."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self._broken = broken

    def step(self, w: Array, model: Any) -> Array:
        if fox.site_name in self._broken:
            raise OSError("no disk")
        return w + 1


def test_site_that_fails_is_asked_no_more(tmp_path: Path) -> None:
    algorithm = FedBuff(start(), 3, buffer=1, parallel=1, min_success=2)
    found = run(algorithm, Breaks(SITES[0], SITES[2]), tmp_path)

    assert found["w"].tolist() == [3] * SIZE


def test_run_ends_when_too_many_sites_failed(tmp_path: Path) -> None:
    with pytest.raises(GroupError, match=r"3 of 4 sites answered, 4 needed\n  site-1: .*no disk"):
        run(FedBuff(start(), 3, buffer=2), Breaks(SITES[0]), tmp_path)


class Hangs(Site):
    """Never answers by itself."""

    def step(self, w: Array, model: Any) -> Array:
        begun.set()
        while not fox.is_aborted:
            ended.wait(0.01)
        return w


begun, ended = threading.Event(), threading.Event()


def test_run_that_is_cancelled_meanwhile_ends(tmp_path: Path) -> None:
    recipe = FoxRecipe("hangs", len(SITES), FedBuff(start(), 1, buffer=1), Hangs())
    under_way = recipe.execute(SimEnv(workspace=tmp_path))
    assert begun.wait(20)
    under_way.cancel()

    with pytest.raises(RunCancelled):
        under_way.result()


def test_no_thread_is_left_when_the_run_ends(tmp_path: Path) -> None:
    run(FedBuff(start(), 2, buffer=3), Site(), tmp_path)

    assert not [each for each in threading.enumerate() if each.name.startswith("fox-arrival")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"buffer": 0}, "buffer=0: 1 or more answers is right"),
        ({"buffer": 1, "lr": 0}, "lr=0: a number above 0 is right"),
        ({"buffer": 1, "decay": -1}, "decay=-1: 0 or a positive number is right"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        FedBuff(start(), 1, **wrong)
