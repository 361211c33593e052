"""FedProx: the helpers of the site, and where exact sites lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import SAMPLES, SITES, SIZE, Array, Site, average, gradient, hessian, run, start, target

from fox_hpc import FLModel, fox
from fox_hpc.algos import FedProx, proximal_gradient, proximal_term


class Exact(Site):
    """Solves its local problem exactly: minimises its loss and the proximal term."""

    def step(self, w: Array, model: Any) -> Array:
        return solved(fox.site_name, w, model.extra["mu"])


def solved(site: str, w: Array, mu: float) -> Array:
    bend = hessian(site)
    return np.linalg.solve(bend + mu * np.eye(SIZE), bend @ target(site) + mu * w)


class Steps(Site):
    """Makes gradient steps with the helper's term."""

    def step(self, w: Array, model: Any) -> Array:
        here, mu = w, model.extra["mu"]
        for _ in range(self.steps):
            near = proximal_gradient({"w": here}, model.params, mu)["w"]
            here = here - self.lr * (gradient(fox.site_name, here) + near)
        return here


def test_each_round_is_as_numpy_has_it(tmp_path: Path) -> None:
    found = run(FedProx(FLModel(params=start()), 3, mu=0.7), Steps(steps=4), tmp_path)
    w = np.zeros(SIZE)
    for _ in range(3):
        answers = [w.copy() for _ in SITES]
        for _ in range(4):
            answers = [
                y - 0.1 * (gradient(s, y) + 0.7 * (y - w)) for s, y in zip(SITES, answers, strict=True)
            ]
        w = average(answers)

    assert np.allclose(found.params["w"], w, atol=1e-12)


def test_exact_sites_lead_to_the_least_sum_of_their_envelopes(tmp_path: Path) -> None:
    # The gradient of a loss's Moreau envelope is mu (w - prox(w)), so it is sum of n (w - prox(w)) = 0.
    found = run(FedProx(FLModel(params=start()), 50, mu=1.0), Exact(), tmp_path)
    pulls = [
        n * (np.eye(SIZE) - np.linalg.inv(np.eye(SIZE) + hessian(s)))
        for n, s in zip(SAMPLES, SITES, strict=True)
    ]
    least = np.linalg.solve(sum(pulls), sum(pull @ target(s) for pull, s in zip(pulls, SITES, strict=True)))

    assert np.allclose(found.params["w"], least, atol=1e-8)


def test_term_and_gradient_agree_with_torchs_own() -> None:
    torch = pytest.importorskip("torch")
    net, there = torch.nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": 1}
    term = proximal_term(net.named_parameters(), there, 0.4)
    term.backward()

    by_hand = proximal_gradient(dict(net.named_parameters()), there, 0.4)
    assert torch.allclose(net.weight.grad, by_hand["weight"])
    plain = {name: each.detach().numpy() for name, each in net.named_parameters()}
    received = {name: there[name].numpy() for name in plain}
    assert float(term.detach()) == pytest.approx(float(proximal_term(plain, received, 0.4)), rel=1e-6)


def test_what_was_not_received_is_named() -> None:
    with pytest.raises(ValueError, match="v was not received"):
        proximal_term({"v": np.ones(2)}, {"w": np.ones(2)}, 1.0)
