"""FedOpt's four, against numpy and at the optimum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import Array, Site, average, optimum, reference, run, start

from fox_hpc import FLModel, RecipeError
from fox_hpc.algos import FedAdagrad, FedAdam, FedAvgM, FedYogi
from fox_hpc.algos.optimizers import Adam

Step = Callable[[Array, list[Array]], Array]


def momentum(lr: float, beta: float) -> Step:
    m: Any = 0.0

    def step(w: Array, answers: list[Array]) -> Array:
        nonlocal m
        m = beta * m + average(answers) - w
        return w + lr * m

    return step


def adaptive(lr: float, beta1: float, tau: float, second: Callable[[Any, Array], Array]) -> Step:
    m: Any = 0.0
    v: Any = tau**2

    def step(w: Array, answers: list[Array]) -> Array:
        nonlocal m, v
        delta = average(answers) - w
        m, v = beta1 * m + (1 - beta1) * delta, second(v, delta**2)
        return w + lr * m / (np.sqrt(v) + tau)

    return step


CASES: dict[str, tuple[Any, Step]] = {
    "FedAvgM": (FedAvgM(start(), 12, lr=0.8, beta=0.7), momentum(0.8, 0.7)),
    "FedAdagrad": (FedAdagrad(start(), 12, lr=0.2), adaptive(0.2, 0.0, 1e-3, lambda v, s: v + s)),
    "FedAdam": (
        FedAdam(start(), 12, lr=0.2, beta2=0.95),
        adaptive(0.2, 0.9, 1e-3, lambda v, s: 0.95 * v + 0.05 * s),
    ),
    "FedYogi": (
        FedYogi(start(), 12, lr=0.2, beta1=0.8, tau=0.01),
        adaptive(0.2, 0.8, 0.01, lambda v, s: v - 0.01 * s * np.sign(v - s)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_round_is_as_numpy_has_it(name: str, tmp_path: Path) -> None:
    algorithm, step = CASES[name]
    site = Site(steps=3)

    expected = reference(12, step, site)
    assert np.allclose(run(algorithm, site, tmp_path)["w"], expected, atol=1e-10)
    # A second run of the same object begins without moments.
    assert np.allclose(run(algorithm, site, tmp_path)["w"], expected, atol=1e-10)


@pytest.mark.parametrize(
    "algorithm",
    [
        FedAvgM(start(), 50, beta=0.3),
        FedAdagrad(start(), 50, lr=1.0, tau=0.5),
        FedAdam(start(), 60, lr=1.5, tau=0.7, beta1=0.3),
        FedYogi(start(), 60, lr=1.5, tau=0.7, beta1=0.3),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_one_step_a_round_leads_to_the_optimum_of_all_data(algorithm: Any, tmp_path: Path) -> None:
    assert np.allclose(run(algorithm, Site(lr=0.9), tmp_path)["w"], optimum(), atol=1e-6)


def test_moments_of_small_floats_are_kept_wide_and_counters_are_not_stepped() -> None:
    model = {"w": np.ones(3, "f2"), "seen": np.array(2)}
    optimizer = Adam(lr=0.1)
    moved = optimizer.move(model, {"w": np.full(3, 1.5, "f2"), "seen": np.array(8)})

    assert {name: (array.dtype, array.tolist()) for name, array in moved.items()} == {
        "w": (
            np.dtype("f2"),
            np.full(3, 1 + 0.1 * 0.05 / (np.sqrt(1e-8 * 99 + 0.0025) + 1e-3)).astype("f2").tolist(),
        ),
        "seen": (np.dtype(int), 8),
    }
    assert {each.dtype for kept in optimizer._moments.values() for each in kept} == {np.dtype("f4")}


def test_tensors_and_arrays_are_stepped_alike() -> None:
    torch = pytest.importorskip("torch")
    before, after = np.random.default_rng(0).normal(size=(2, 70_000)).astype("f4")
    of_arrays = Adam(lr=0.3).move([before], [after])[0]
    of_tensors = Adam(lr=0.3).move([torch.from_numpy(before)], [torch.from_numpy(after)])[0]
    narrow = Adam(lr=0.3).move([torch.zeros(3, dtype=torch.bfloat16)], [torch.ones(3, dtype=torch.bfloat16)])[
        0
    ]

    assert of_tensors.numpy().tobytes() == of_arrays.tobytes()
    assert narrow.dtype is torch.bfloat16
    assert float(narrow[0]) == pytest.approx(0.3 * 0.1 / (0.01 + 1e-6) ** 0.5, rel=0.02)


def test_flmodel_comes_back_with_its_metrics(tmp_path: Path) -> None:
    found = run(FedAdam(FLModel(params=start()), 1), Site(), tmp_path)

    assert np.abs(found.params["w"]).max() > 0


def test_wrong_rates_are_refused() -> None:
    with pytest.raises(RecipeError, match="lr=0: a number above 0 is right"):
        FedAvgM(start(), 1, lr=0)
    with pytest.raises(RecipeError, match=r"beta2=1\.0: a number from 0 to below 1 is right"):
        FedYogi(start(), 1, beta2=1.0)
