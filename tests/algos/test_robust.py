"""Median, trimmed mean and Krum: against numpy, at their optimum, and beside sites that send anything."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import Array

from fox_hpc import FoxRecipe, GroupError, RecipeError, SimEnv, fox
from fox_hpc.algos import CoordinateMedian, FedAvg, Krum, TrimmedMean
from fox_hpc.algos.robust import krum_scores, sorted_mean

SIZE, SITES = 4, 7
TARGETS = np.random.default_rng(3).normal(size=(SITES, SIZE))


class Honest:
    """Has the loss |w - target|² / 2, and goes half the way; some sites send what `lie` gives instead."""

    def __init__(self, liars: int = 0, lie: Callable[[Array], Any] = lambda w: w, near: float = 1.0) -> None:
        self._liars, self._lie, self._near = liars, lie, near

    @fox.collab
    def train(self, weights: Any) -> Any:
        number = int(fox.site_name.split("-")[1]) - 1
        w = weights["w"]
        if number < self._liars:
            return self._lie(w)
        return {"w": w + 0.5 * (self._near * TARGETS[number] - w)}, 1


def run(algorithm: Any, site: Any, folder: Path, sites: int = SITES) -> Array:
    recipe = FoxRecipe("robust", sites, algorithm, site)
    found: Array = recipe.execute(SimEnv(workspace=folder)).result()["w"]
    return found


def start() -> dict[str, Array]:
    return {"w": np.zeros(SIZE)}


LIES: dict[str, Callable[[Array], Any]] = {
    "far": lambda w: ({"w": np.full(SIZE, 1e9)}, 1),
    "nan": lambda w: ({"w": np.full(SIZE, np.nan)}, 10**9),
    "minus-infinite": lambda w: ({"w": np.full(SIZE, -np.inf)}, 1),
    "opposite": lambda w: ({"w": -5 * w - 1}, 1),
}


def krum_by_numpy(updates: Array, byzantine: int, keep: int) -> Array:
    scores = []
    for one in updates:
        distances = sorted(float(np.sum((one - other) ** 2)) for other in updates)
        scores.append(sum(distances[1 : len(updates) - byzantine - 1]))
    return updates[np.argsort(scores, kind="stable")[:keep]].mean(axis=0)


def test_one_round_is_as_numpy_has_it(tmp_path: Path) -> None:
    answers = 0.5 * TARGETS
    in_order = np.sort(answers, axis=0)

    assert np.allclose(run(CoordinateMedian(start(), 1), Honest(), tmp_path), np.median(answers, axis=0))
    trimmed = run(TrimmedMean(start(), 1, trim=0.3), Honest(), tmp_path)
    assert np.allclose(trimmed, in_order[2:5].mean(axis=0))
    for byzantine, keep in itertools.product([0, 1, 2], [1, 3]):
        found = run(Krum(start(), 1, byzantine=byzantine, keep=keep), Honest(), tmp_path)
        assert np.allclose(found, krum_by_numpy(answers, byzantine, keep))


def test_median_of_an_even_number_is_the_middle_of_two(tmp_path: Path) -> None:
    found = run(CoordinateMedian(start(), 1), Honest(), tmp_path, sites=6)

    assert np.allclose(found, np.median(0.5 * TARGETS[:6], axis=0))


def test_half_steps_lead_to_the_median_and_to_the_trimmed_mean_of_the_targets(tmp_path: Path) -> None:
    median = run(CoordinateMedian(start(), 40), Honest(), tmp_path)
    trimmed = run(TrimmedMean(start(), 40, trim=1 / 7), Honest(), tmp_path)

    assert np.allclose(median, np.median(TARGETS, axis=0), atol=1e-9)
    assert np.allclose(trimmed, np.sort(TARGETS, axis=0)[1:6].mean(axis=0), atol=1e-9)


def test_krum_of_sites_that_agree_leads_to_their_target(tmp_path: Path) -> None:
    found = run(Krum(start(), 40, byzantine=2), Honest(2, LIES["far"], near=0.0), tmp_path)

    assert np.allclose(found, 0, atol=1e-9)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: CoordinateMedian(start(), 30),
        lambda: TrimmedMean(start(), 30, trim=0.29),
        lambda: Krum(start(), 30, byzantine=2),
        lambda: Krum(start(), 30, byzantine=2, keep=3),
    ],
    ids=["median", "trimmed", "krum", "multi-krum"],
)
def test_two_liars_of_seven_cannot_carry_the_model_out_of_the_honest_ones(
    make: Callable[[], Any], lie: str, tmp_path: Path
) -> None:
    found = run(make(), Honest(2, LIES[lie]), tmp_path)

    honest = TARGETS[2:]
    assert np.all(found <= honest.max(axis=0) + 1e-6)
    assert np.all(found >= honest.min(axis=0) - 1e-6)


def test_the_same_liars_carry_the_mean_away(tmp_path: Path) -> None:
    assert np.abs(run(FedAvg(start(), 1), Honest(2, LIES["far"]), tmp_path)).max() > 1e8


def test_answer_of_another_form_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fox_hpc.algos"):
        site = Honest(2, lambda w: ({"w": np.zeros(9)}, 1))
        found = run(CoordinateMedian(start(), 1, min_success=5), site, tmp_path)

    assert np.allclose(found, np.median(0.5 * TARGETS[2:], axis=0))
    assert "site-2 is left out of the round: the model and what site-2 sent differ at $['w']" in caplog.text


def test_too_few_answers_of_the_right_form_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(GroupError, match=r"5 of 7 sites answered, 7 needed\n  site-1: site-1 sent a str"):
        run(CoordinateMedian(start(), 1), Honest(2, lambda w: "no"), tmp_path)


def test_krum_says_how_many_sites_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 sites answered as they should, byzantine=1 and keep=1 need 5"):
        run(Krum(start(), 1, byzantine=1), Honest(), tmp_path, sites=4)


def test_trim_of_half_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"trim=0\.5: a part from 0 to below 0\.5 is right"):
        TrimmedMean(start(), 1, trim=0.5)


def test_whole_numbers_have_a_median_and_complex_ones_have_none() -> None:
    counts = [{"n": np.array([each, 9])} for each in (1, 5, 3)]

    assert sorted_mean(counts, 1)["n"].tolist() == [3, 9]
    with pytest.raises(ValueError, match="complex numbers have no order"):
        sorted_mean([np.ones(1, complex)] * 3, 1)


def test_tensors_have_a_median_and_scores_as_arrays_do() -> None:
    torch = pytest.importorskip("torch")
    arrays = list(np.random.default_rng(0).normal(size=(5, 40_000)).astype("f4"))
    tensors = [torch.from_numpy(each) for each in arrays]

    assert sorted_mean(tensors, 2).numpy().tobytes() == sorted_mean(arrays, 2).tobytes()
    assert krum_scores(tensors, 1) == krum_scores(arrays, 1)
    assert sorted_mean([each.bfloat16() for each in tensors], 2).dtype is torch.bfloat16
