"""SCAFFOLD: against numpy, and at the optimum that FedAvg misses when sites make many steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import SITES, SIZE, Array, Site, gradient, optimum, run, start

from fox_hpc import FLModel, fox
from fox_hpc.algos import FedAvg, Scaffold

EQUAL = (1.0,) * len(SITES)


class Controlled(Site):
    """Adds the correction that it is sent to each gradient."""

    def step(self, w: Array, model: Any) -> Array:
        correction = model.extra["correction"]["w"]
        for _ in range(self.steps):
            w = w - self.lr * (gradient(fox.site_name, w) + correction)
        return w


def by_numpy(rounds: int, lr: float, steps: int, outer: float, answering: list[list[str]]) -> Array:
    """Algorithm 1 of the paper with option II; a site that does not answer keeps its control."""
    x, c, own = np.zeros(SIZE), np.zeros(SIZE), {site: np.zeros(SIZE) for site in SITES}
    for number in range(rounds):
        sites = answering[number % len(answering)]
        moves, changes = [], []
        for site in sites:
            y = x.copy()
            for _ in range(steps):
                y = y - lr * (gradient(site, y) - own[site] + c)
            new = own[site] - c + (x - y) / (steps * lr)
            moves.append(y - x)
            changes.append(new - own[site])
            own[site] = new
        x = x + outer * np.mean(moves, axis=0)
        c = c + np.sum(changes, axis=0) / len(SITES)
    return x


def test_each_round_is_as_numpy_has_it(tmp_path: Path) -> None:
    found = run(Scaffold(FLModel(params=start()), 6, lr=0.8), Controlled(steps=5), tmp_path)

    assert np.allclose(found.params["w"], by_numpy(6, 0.1, 5, 0.8, [SITES]), atol=1e-12)


class Away(Controlled):
    """One site misses each second round."""

    def step(self, w: Array, model: Any) -> Array:
        if fox.site_name == SITES[1] and model.current_round % 2:
            raise OSError("away")
        return super().step(w, model)


def test_site_that_misses_a_round_keeps_its_control(tmp_path: Path) -> None:
    algorithm = Scaffold(FLModel(params=start()), 6, min_success=3)
    found = run(algorithm, Away(steps=5), tmp_path)

    some = [site for site in SITES if site != SITES[1]]
    assert np.allclose(found.params["w"], by_numpy(6, 0.1, 5, 1.0, [SITES, some]), atol=1e-12)


def test_many_local_steps_lead_to_the_optimum_which_fedavg_misses(tmp_path: Path) -> None:
    best = optimum(EQUAL)
    found = run(Scaffold(FLModel(params=start()), 30), Controlled(steps=6, lr=0.2), tmp_path)
    drifted = by_equal_fedavg(30, lr=0.2, steps=6)

    assert np.abs(found.params["w"] - best).max() < 1e-7
    assert np.abs(drifted - best).max() > 1e-3


def by_equal_fedavg(rounds: int, lr: float, steps: int) -> Array:
    w = np.zeros(SIZE)
    for _ in range(rounds):
        answers = [w for _ in SITES]
        for _ in range(steps):
            answers = [y - lr * gradient(site, y) for site, y in zip(SITES, answers, strict=True)]
        w = np.mean(answers, axis=0)
    return w


class Forgets(Controlled):
    @fox.collab
    def train(self, model: Any) -> Any:
        return model.params, 1


def test_answer_without_lr_sum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="site-1 sent no lr_sum in meta"):
        run(Scaffold(FLModel(params=start()), 1), Forgets(), tmp_path)


def test_fedavg_serves_the_same_site(tmp_path: Path) -> None:
    extra = {"correction": {"w": np.zeros(SIZE)}}
    found = run(FedAvg(FLModel(params=start(), extra=extra), 1), Controlled(steps=2), tmp_path)

    assert found.extra == {}
