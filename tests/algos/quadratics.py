"""Sites whose loss is a quadratic, so that where an algorithm must end is known; and runs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fox_hpc import FLModel, FoxRecipe, SimEnv, fox

#: How many numbers a model has, and each site's number of samples.
SIZE, SAMPLES = 5, (10, 30, 20, 40)
SITES = [f"site-{number + 1}" for number in range(len(SAMPLES))]

Array = np.ndarray[Any, Any]


def hessian(site: str) -> Array:
    random = np.random.default_rng(int(site.split("-")[1]))
    half = random.normal(size=(SIZE, SIZE)) / SIZE
    return half @ half.T + 0.5 * np.eye(SIZE)


def target(site: str) -> Array:
    return np.random.default_rng(100 + int(site.split("-")[1])).normal(size=SIZE)


def gradient(site: str, w: Array, *, same: bool = False) -> Array:
    """Of (w - target)ᵀ hessian (w - target) / 2; with `same` all sites have the target of the first."""
    return hessian(site) @ (w - target(SITES[0] if same else site))


def descend(site: str, w: Array, lr: float, steps: int, *, same: bool = False) -> Array:
    for _ in range(steps):
        w = w - lr * gradient(site, w, same=same)
    return w


def optimum(weights: tuple[float, ...] = SAMPLES, sites: list[str] = SITES) -> Array:
    """Where the weighted sum of the sites' losses is least."""
    pairs = list(zip(sites, weights, strict=True))
    bends = sum(weight * hessian(site) for site, weight in pairs)
    return np.linalg.solve(bends, sum(weight * hessian(site) @ target(site) for site, weight in pairs))


class Site:
    """Makes steps of gradient descent, and answers in the form in which it was asked."""

    def __init__(self, lr: float = 0.1, steps: int = 1, *, same: bool = False) -> None:
        self.lr, self.steps, self.same = lr, steps, same

    @fox.collab
    def train(self, model: Any) -> Any:
        number = SITES.index(fox.site_name)
        if not isinstance(model, FLModel):
            return {"w": self.step(model["w"], model)}, SAMPLES[number]
        meta = {"num_samples": SAMPLES[number], "lr_sum": self.lr * self.steps}
        return FLModel(params={"w": self.step(model.params["w"], model)}, meta=meta)

    def step(self, w: Array, model: Any) -> Array:
        return descend(fox.site_name, w, self.lr, self.steps, same=self.same)


def start() -> dict[str, Array]:
    return {"w": np.zeros(SIZE)}


def run(algorithm: Any, site: Any, folder: Any, sites: int = len(SITES)) -> Any:
    recipe = FoxRecipe("algorithm", sites, algorithm, site)
    return recipe.execute(SimEnv(workspace=folder)).result()


def reference(rounds: int, step: Callable[[Array, list[Array]], Array], site: Site) -> Array:
    """What rounds give in which `step` makes the next model of this one and of the sites' answers."""
    w = np.zeros(SIZE)
    for _ in range(rounds):
        w = step(w, [descend(name, w, site.lr, site.steps, same=site.same) for name in SITES])
    return w


def average(answers: list[Array]) -> Array:
    return np.average(answers, axis=0, weights=SAMPLES)
