"""Which parameters travel."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fox_hpc import FLModel, RecipeError
from fox_hpc.algos import only, without

WEIGHTS = {"base.w": 1, "layer.lora_A": 2, "layer.lora_B": 3, "head.w": 4}


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (only("*lora*"), ["layer.lora_A", "layer.lora_B"]),
        (only("*_A", "head.*"), ["layer.lora_A", "head.w"]),
        (only(re.compile(r"lora_[AB]$")), ["layer.lora_A", "layer.lora_B"]),
        (without("head.*", re.compile("lora")), ["base.w"]),
    ],
    ids=str,
)
def test_names_are_chosen_by_globs_and_expressions(keys: Any, chosen: list[str]) -> None:
    assert list(keys(WEIGHTS)) == chosen


def test_answers_of_each_form_are_filtered() -> None:
    keys = only("head.*")
    model = keys(FLModel(params=WEIGHTS, meta={"num_samples": 3}))

    assert keys((WEIGHTS, 10)) == ({"head.w": 4}, 10)
    assert model == FLModel(params={"head.w": 4}, meta={"num_samples": 3})


def test_merge_puts_what_was_received_in_its_place() -> None:
    merged = only("*lora*").merge(WEIGHTS, {"layer.lora_A": 20})

    assert merged == {"base.w": 1, "layer.lora_A": 20, "layer.lora_B": 3, "head.w": 4}


@pytest.mark.parametrize("received", [{"head.w": 1}, {"layer.lora_C": 1}], ids=["not chosen", "unknown"])
def test_merge_refuses_what_does_not_travel(received: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"is not among what travels by only\('\*lora\*'\)"):
        only("*lora*").merge(WEIGHTS, received)


def test_wrong_patterns_and_empty_choices_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"only\(\): one or more globs or compiled expressions are right"):
        only()
    with pytest.raises(RecipeError, match=r"without\(3,\): one or more globs"):
        without(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"only\('x'\) chooses none of base.w, layer.lora_A"):
        only("x")(WEIGHTS)
