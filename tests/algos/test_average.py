"""A mean that is made on arrival: the same bits in every order, near the exact mean, in little memory."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fox_hpc import CallError, FLModel, FoxRecipe, SimEnv, fox
from fox_hpc.algos import Average, weighted_average

DTYPES = ["float16", "float32", "float64", "complex64", "int8", "uint16", "int32", "int64"]
FLOATS = {"float16": np.float32, "float32": np.float32, "float64": np.float64, "complex64": np.complex64}


def names(count: int) -> list[str]:
    return [f"site-{number + 1}" for number in range(count)]


@st.composite
def answers(draw: Any, dtype: str) -> tuple[list[str], dict[str, tuple[Any, float]]]:
    """Draw the sites of a run, and what some of them send."""
    sites = names(draw(st.integers(1, 70)))
    present = draw(st.sets(st.sampled_from(sites), min_size=1))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(st.sampled_from(["equal", "samples", "fractions"]))
    found: dict[str, tuple[Any, float]] = {}
    for site in sites:
        numbers = random.normal(size=7) * 10.0 ** random.integers(-2, 2)
        weight = {"equal": 1, "samples": random.integers(1, 1000), "fractions": random.random() + 0.1}[
            weights
        ]
        if site in present:
            found[site] = {"w": [numbers.astype(dtype)], "loss": float(numbers[0])}, float(weight)
    return sites, found


def mean_of(sites: list[str], updates: dict[str, Any], order: list[str], *, take: bool = False) -> Any:
    mean = Average(sites)
    for site in order:
        if site in updates:
            (tree, weight) = updates[site]
            arrays = [array.copy() for array in tree["w"]] if take else tree["w"]
            mean.add(site, {**tree, "w": arrays}, weight, take=take)
        elif take:
            mean.absent(site)
    return mean.result()


def bits(tree: Any) -> tuple[bytes, float]:
    return tree["w"][0].tobytes(), tree["loss"]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_mean_has_the_same_bits_in_every_order_of_arrival(dtype: str, data: st.DataObject) -> None:
    sites, updates = data.draw(answers(dtype))
    expected = mean_of(sites, updates, sites)
    order = data.draw(st.permutations(sites))

    assert bits(mean_of(sites, updates, order)) == bits(expected)
    assert bits(mean_of(sites, updates, order, take=True)) == bits(expected)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_mean_is_near_the_exact_one_and_keeps_the_dtype(dtype: str, data: st.DataObject) -> None:
    sites, updates = data.draw(answers(dtype))
    mean = mean_of(sites, updates, sites)["w"][0]
    weights = [weight for _, weight in updates.values()]
    stacked = np.stack([tree["w"][0] for tree, _ in updates.values()])
    wide = np.result_type(stacked.dtype, np.float64)
    exact = np.average(stacked.astype(wide), axis=0, weights=weights)

    assert (mean.dtype, mean.shape) == (np.dtype(dtype), (7,))
    assert np.all(np.abs(mean - exact) <= tolerance(dtype, len(sites)) * np.abs(stacked.astype(wide)).max())


def tolerance(dtype: str, sites: int) -> float:
    """Eight steps on each floor of the tree, each rounded once; and the way back to the dtype."""
    if dtype not in FLOATS:
        return 0.5 + 1e-5
    floors = max(1, math.ceil(math.log(sites, 8)))
    return float(8 * floors * np.finfo(FLOATS[dtype]).eps / 2 + np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64", "int32", "uint8"])
def test_tensors_and_arrays_give_the_same_bits(name: str) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    updates = [(random.normal(size=999) * 50).astype(name) for _ in range(11)]

    of_arrays = weighted_average([(each, n + 1) for n, each in enumerate(updates)])
    of_tensors = weighted_average([(torch.from_numpy(each), n + 1) for n, each in enumerate(updates)])
    assert of_tensors.numpy().tobytes() == of_arrays.tobytes()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_of_torch_are_summed_in_fp32(name: str) -> None:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    updates = [torch.randn(40_000, generator=generator).to(getattr(torch, name)) for _ in range(20)]
    mean = weighted_average([(each, 1) for each in updates])

    of_floats = weighted_average([(each.float(), 1) for each in updates])
    assert mean.dtype is getattr(torch, name)
    assert torch.equal(mean.view(torch.int8), of_floats.to(mean.dtype).view(torch.int8))


def test_equal_models_average_to_themselves() -> None:
    model = np.random.default_rng(0).normal(size=1000).astype(np.float32)

    assert weighted_average([(model, weight) for weight in (3, 5, 11, 7)]).tobytes() == model.tobytes()


def test_numbers_without_end_stay_what_they_are() -> None:
    mask = np.array([-np.inf, np.inf, 0.0], np.float32)

    assert weighted_average([(mask, 1), (mask, 2)]).tolist() == mask.tolist()


def test_halves_of_whole_numbers_go_to_the_even_one() -> None:
    assert weighted_average([(np.array([1, 2, -1]), 1), (np.array([2, 3, -2]), 1)]).tolist() == [2, 2, -2]


@dataclass
class Heads:
    """A tree of one's own."""

    body: dict[str, Any]
    heads: tuple[Any, ...]
    name: str


def test_trees_of_every_kind_are_averaged() -> None:
    one = Heads({"w": np.array([1.0])}, ([np.float32(1)], 1), "wide")
    two = Heads({"w": np.array([2.0])}, ([np.float32(4)], 2.0), "wide")
    mean = weighted_average([(one, 1), (two, 1)])

    assert mean == Heads({"w": np.array([1.5])}, ([np.float32(2.5)], 1.5), "wide")
    assert [type(part) for part in (*mean.heads[0], mean.heads[1])] == [np.float32, float]


def test_model_is_averaged_without_what_a_site_says_of_itself() -> None:
    def model(number: int) -> FLModel:
        params, metrics = {"w": np.full(2, number)}, {"loss": number / 4}
        meta, extra = {"num_samples": number, "host": f"n{number}"}, {"mine": number}
        return FLModel(params, metrics=metrics, meta=meta, current_round=3, extra=extra)

    mean = weighted_average([model(1), model(3)])
    assert mean.params["w"].tolist() == [2, 2]
    assert mean == FLModel(mean.params, metrics={"loss": 0.625}, current_round=3)


def test_memory_of_what_was_not_given_away_stays_as_it_is() -> None:
    array = np.ones(2, np.float32)
    mean = weighted_average([(array, 1)])
    mean += 1
    weighted_average([(array, 1), (array * 3, 1)])

    assert array.tolist() == [1, 1]


def test_one_array_at_two_places_counts_once_at_each() -> None:
    mean = Average(["a", "b"])
    for site, number in (("a", 1.0), ("b", 3.0)):
        tied = np.full(3, number)
        mean(site, ({"embed": tied, "head": tied}, 1))

    assert {name: array.tolist() for name, array in mean.result().items()} == {
        "embed": [2.0, 2.0, 2.0],
        "head": [2.0, 2.0, 2.0],
    }


def test_site_of_weight_zero_counts_as_absent() -> None:
    sites = names(3)
    random = np.random.default_rng(0)
    updates = {site: ({"w": [random.normal(size=5)], "loss": 0.0}, 2.0) for site in sites}
    expected = bits(mean_of(sites, {site: updates[site] for site in ("site-1", "site-3")}, sites))
    updates["site-2"] = updates["site-2"][0], 0.0

    assert bits(mean_of(sites, updates, sites)) == expected


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        ([{"w": 1, "v": 1}, {"w": 1}], r"a and b differ at \$: only one of them has 'v'"),
        ([np.ones(1), np.ones(2)], r"float64 array of shape \(1,\) and float64 array of shape \(2,\)"),
        ([{"w": np.ones(1)}, {"w": np.ones(1, "f4")}], r"at \$\['w'\]: float64 array .* and float32 array"),
        ([{"w": [1, "x"]}, {"w": [1, "y"]}], r"at \$\['w'\]\[1\]: 'x' and 'y'"),
        ([[1], (1,)], r"at \$: a list and a tuple"),
        ([FLModel(current_round=1), FLModel(current_round=2)], r"at \$.current_round: 1 and 2"),
        ([{"w": np.array([True])}], r"what a sent, at \$\['w'\]: there is no mean of dtype bool"),
        ([{"w": np.array(["x"])}], "there is no mean of dtype <U1"),
        ([{"w": object()}], "there is no mean of a object"),
        ([{"w": np.array([2**60])}], "no exact mean of whole numbers beyond"),
    ],
)
def test_what_has_no_mean_is_refused_by_its_place(trees: list[Any], message: str) -> None:
    mean = Average(["a", "b"])
    for site, tree in zip("ab", trees[:-1], strict=False):
        mean.add(site, tree)

    with pytest.raises(ValueError, match=message):
        mean.add("ab"[len(trees) - 1], trees[-1])


@pytest.mark.parametrize("kind", ["bool", "sparse"])
def test_tensor_that_has_no_mean_is_refused(kind: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones(2).bool() if kind == "bool" else torch.ones(2).to_sparse()

    with pytest.raises(ValueError, match=r"there is no mean of a .* tensor of .*: dense numbers have one"):
        Average(["a"]).add("a", tensor)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (3, "a sent a int: a .weights, weight. pair or an FLModel with num_samples in its meta is right"),
        (FLModel(), "a sent a FLModel: a .weights, weight. pair or an FLModel with num_samples"),
        (({}, -1), "a has the weight -1.0: 0 or a positive number is right"),
        (({}, math.nan), "a has the weight nan"),
    ],
)
def test_answer_without_a_weight_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Average(["a"])("a", answer)


def test_site_adds_once_and_is_known() -> None:
    mean = Average(["a"])
    mean.add("a", 1)

    with pytest.raises(ValueError, match="a was added before"):
        mean.add("a", 1)
    with pytest.raises(ValueError, match="b is none of the sites"):
        mean.add("b", 1)
    assert mean.result() == 1.0
    with pytest.raises(ValueError, match="nothing to average"):
        mean.result()


MODEL_BYTES = 4 << 20


@pytest.mark.parametrize(("count", "sums"), [(8, 1), (64, 2)])
def test_sums_take_the_memory_of_what_came(count: int, sums: int) -> None:
    tracemalloc.start()
    try:
        mean = Average(names(count))
        for site in names(count):
            mean(site, ({f"w{n}": np.ones(MODEL_BYTES // 16, np.float32) for n in range(4)}, 1))
        mean.result()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak / MODEL_BYTES < sums + 1 + 0.3


def test_what_waits_for_its_left_neighbours_is_told() -> None:
    mean = Average(names(20))
    for number in (2, 3, 9, 10, 12):
        mean.add(f"site-{number}", 1.0)
    assert repr(mean) == "<Average 5 of 20 sites · 1 sums · 3 waiting>"

    mean.absent("site-1")
    assert repr(mean) == "<Average 6 of 20 sites · 2 sums · 1 waiting>"
    assert mean.result() == 1.0


class Site:
    """A site that sends what depends on its name, if it can."""

    @fox.collab
    def train(self, weights: dict[str, Any]) -> Any:
        number = int(fox.site_name.removeprefix("site-"))
        if number == 3:
            raise OSError("disk full")
        return {"w": weights["w"] + np.random.default_rng(number).normal(size=100)}, number


class FedAvg:
    """A server that averages in each of the ways that there are."""

    @fox.algo
    def run(self) -> list[str]:
        start = {"w": np.zeros(100)}
        found = [
            weighted_average(fox.clients.train(start)),
            weighted_average(fox.clients(blocking=False).train(start)),
        ]
        mean = Average(fox.clients.site_names)
        fox.clients(callback=mean).train(start)
        return [weights["w"].tobytes().hex() for weights in (*found, mean.result())]


def test_all_ways_to_average_give_the_same_in_a_run(tmp_path: Path) -> None:
    # With so many sites the tree has two floors, and the place of the one that fails counts.
    run = FoxRecipe("average", 9, FedAvg(), Site()).execute(SimEnv(12, tmp_path))
    by_list, by_iteration, by_callback = run.result(30)

    assert by_list == by_iteration == by_callback


class Uneven:
    """A site that sends what differs from its neighbour's."""

    @fox.collab
    def train(self) -> Any:
        return {fox.site_name: np.ones(1)}, 1


class Naive:
    """A server that averages what cannot be averaged."""

    def __init__(self, way: str) -> None:
        self.way = way

    @fox.algo
    def run(self) -> Any:
        if self.way == "callback":
            fox.clients(callback=Average(fox.clients.site_names)).train()
        else:
            weighted_average(fox.clients(blocking=False).train())


@pytest.mark.parametrize(
    ("way", "error", "message"),
    [
        ("callback", CallError, r"callback Average failed on the answer of site-.* and site-. differ at \$"),
        ("iteration", ValueError, r"site-. and site-. differ at \$"),
    ],
)
def test_answer_that_cannot_be_averaged_names_its_site(
    way: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    run = FoxRecipe("uneven", 2, Naive(way), Uneven()).execute(SimEnv(2, tmp_path))

    with pytest.raises(error, match=message):
        run.result(30)
