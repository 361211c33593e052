"""What all algorithms share: what travels, how sites answer, and what is refused."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratics import Site, start

from fox_hpc import FLModel, FoxClientAPI, FoxRecipe, GroupError, RecipeError, RemoteError, SimEnv, algos, fox
from fox_hpc.algos import CoordinateMedian, Cyclic, DiLoCo, FedAvg, FedBuff, FedProx, Krum, Scaffold, only

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"
#: These are in docs/aggregation.md.
AVERAGING = ("Average", "weights_digest")
ARRAYS: dict[str, Any] = {"base": np.zeros(2), "lora.A": np.ones(2)}


class Adds:
    """Adds 1 to whatever weights it gets, and its number of samples is its own number."""

    @fox.collab
    def train(self, weights: Any) -> Any:
        return {name: array + 1 for name, array in weights.items()}, int(fox.site_name[-1])


def run(algorithm: Any, client: Any, folder: Path, sites: int = 2, **recipe: Any) -> Any:
    run = FoxRecipe("algorithm", sites, algorithm, client, **recipe).execute(SimEnv(workspace=folder))
    return run.result()


def test_weights_travel_when_weights_are_given(tmp_path: Path) -> None:
    found = run(FedAvg(ARRAYS, 3), Adds(), tmp_path)

    assert {name: array.tolist() for name, array in found.items()} == {"base": [3, 3], "lora.A": [4, 4]}


def test_recipe_of_the_docs_finds_the_line(tmp_path: Path) -> None:
    shown = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(shown[0], names)
    found = names["recipe"].execute(SimEnv(workspace=tmp_path)).result()
    exec(shown[-1], names)
    halfway = run(names["Halfway"]({"w": np.zeros(2)}, 40), names["Site"](), tmp_path)

    assert np.allclose(found["w"], [3, -1], atol=0.05)
    assert np.allclose(halfway["w"], [3, -1], atol=0.05)


def test_every_algorithm_is_in_the_docs_and_has_a_docstring() -> None:
    text = PAGE.read_text()

    assert [name for name in algos.__all__ if name not in text and name not in AVERAGING] == []
    assert [name for name in algos.__all__ if not getattr(algos, name).__doc__] == []


class Notes:
    """Tells by its answers what it was sent."""

    @fox.collab
    def fit(self, model: FLModel) -> FLModel:
        facts = [model.current_round, model.total_rounds, model.extra["lr"], model.metrics is None]
        return FLModel(params={"w": np.array(facts, float)}, metrics={"loss": 1.0}, meta={"num_samples": 1})


def test_flmodel_travels_with_its_round_when_one_is_given(tmp_path: Path) -> None:
    seen: list[tuple[int, Any]] = []
    model = FLModel(params={"w": np.zeros(4)}, extra={"lr": 0.5}, metrics={"loss": 3.0})
    found = run(FedAvg(model, 2, call="fit", after=lambda *told: seen.append(told)), Notes(), tmp_path)

    assert found.params["w"].tolist() == [1, 2, 0.5, 1]
    assert [(number, model.params["w"][0], model.metrics) for number, model in seen] == [
        (0, 0, {"loss": 1}),
        (1, 1, {"loss": 1}),
    ]


def make_script() -> FoxClientAPI:
    def train() -> None:
        model = api.receive()
        api.send(FLModel(params={"w": model.params["w"] + 1}, meta={"num_samples": 1}))

    api = FoxClientAPI()
    api.set_training_func(train)
    return api


class Scripts:
    """Gives each site a client API of its own, with a training function."""

    @fox.collab
    def execute(self, fl_model: Any) -> Any: ...

    def make_client_app(self) -> FoxClientAPI:
        return make_script()


@pytest.mark.parametrize("kind", [FedAvg, Cyclic], ids=lambda kind: kind.__name__)
def test_training_scripts_are_served_and_stopped(kind: Any, tmp_path: Path) -> None:
    found = run(kind(FLModel(params={"w": np.zeros(2)}), 3, call="execute"), Scripts(), tmp_path)

    assert found.params["w"].tolist() == ([3, 3] if kind is FedAvg else [6, 6])


def test_script_module_runs_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adding_script.py").write_text(
        "from fox_hpc import FLModel, get_client_api\n"
        "flare = get_client_api()\n"
        "flare.init()\n"
        "while flare.is_running():\n"
        "    model = flare.receive()\n"
        "    flare.send(FLModel(params={'w': model.params['w'] + 1}, meta={'num_samples': 1}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    algorithm = FedBuff(FLModel(params={"w": np.zeros(2)}), 2, buffer=2, call="execute", parallel=1)
    found = run(algorithm, FoxClientAPI(), tmp_path, training_module="adding_script")

    assert found.params["w"].tolist() == [2, 2]


def test_keys_let_only_adapters_travel(tmp_path: Path) -> None:
    found = run(FedAvg(ARRAYS, 3, keys=only("*lora*")), Adds(), tmp_path)

    assert {name: array.tolist() for name, array in found.items()} == {"base": [0, 0], "lora.A": [4, 4]}


def test_tensors_keep_their_kind_and_dtype(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = {"w": torch.zeros(2, dtype=torch.bfloat16), "seen": torch.tensor(0)}
    found = run(FedAvg(model, 2), Adds(), tmp_path)

    assert found["w"].dtype is torch.bfloat16
    assert (found["w"].tolist(), found["seen"]) == ([2, 2], torch.tensor(2))


def test_late_answers_give_the_same_bits(tmp_path: Path) -> None:
    whole = run(FedAvg(start(), 3), Site(steps=2), tmp_path, sites=4)
    late = run(FedAvg(start(), 3, late=True), Site(steps=2), tmp_path, sites=4)

    assert late["w"].tobytes() == whole["w"].tobytes()


class Odd:
    """Answers with what it was made with."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    @fox.collab
    def train(self, weights: Any) -> Any:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (({"w": np.zeros(3)}, 1), r"the sites sent differ at \$\['w'\]: float64 array of shape \(2,\)"),
        (({"v": np.zeros(2)}, 1), "the sites sent differ at .*: only one of them has 'w', 'v'"),
        (({"w": np.zeros(2, "f4")}, 1), "float64 array of shape .* and float32 array"),
        ({"w": np.zeros(2)}, r"a \(weights, weight\) pair or an FLModel"),
    ],
    ids=["shape", "name", "dtype", "bare"],
)
def test_answers_of_another_form_end_the_run(answer: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(FedAvg({"w": np.zeros(2)}, 1), Odd(answer), tmp_path)


class Replies:
    """Answers weights with an FLModel."""

    @fox.collab
    def train(self, weights: Any) -> FLModel:
        return FLModel(params={"w": weights["w"] + 1}, meta={"num_samples": 1}, metrics={"loss": 1.0})


@pytest.mark.parametrize(
    "make",
    [
        lambda model: FedAvg(model, 2),
        lambda model: DiLoCo(model, 2, lr=1, beta=0),
        lambda model: CoordinateMedian(model, 2),
        lambda model: Cyclic(model, 1),
        lambda model: FedBuff(model, 2, buffer=1, parallel=1),
    ],
    ids=["FedAvg", "DiLoCo", "CoordinateMedian", "Cyclic", "FedBuff"],
)
def test_weights_may_be_answered_with_an_flmodel(make: Any, tmp_path: Path) -> None:
    assert run(make({"w": np.zeros(2)}), Replies(), tmp_path)["w"].tolist() == [2, 2]


class Fails:
    """Fails at the sites whose names end so; the others add 1."""

    def __init__(self, *numbers: str) -> None:
        self._numbers = numbers

    @fox.collab
    def train(self, model: Any) -> Any:
        if fox.site_name.endswith(self._numbers):
            raise OSError("no disk")
        return Adds().train(model)


def test_too_few_answers_end_the_run_and_name_the_cause(tmp_path: Path) -> None:
    with pytest.raises(GroupError, match=r"of 2 sites answered, 2 needed[\s\S]*site-2: .*no disk"):
        run(FedAvg({"w": np.zeros(2)}, 1), Fails("2"), tmp_path)


def test_min_success_says_how_many_are_enough(tmp_path: Path) -> None:
    found = run(FedAvg({"w": np.zeros(2)}, 2, min_success=1), Fails("2"), tmp_path)

    assert found["w"].tolist() == [2, 2]


def test_cyclic_fails_with_the_site(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"site-2 .*no disk"):
        run(Cyclic({"w": np.zeros(2)}, 1), Fails("2"), tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedAvg({"w": np.zeros(1)}, 0), "rounds=0: a whole number from 1"),
        (lambda: FedAvg({}, 1), "there are no arrays in it"),
        (lambda: FedAvg(FLModel(), 1), "the FLModel has no params"),
        (lambda: FedAvg({"w": object()}, 1), r"\$\['w'\]: there is no mean of a object"),
        (lambda: FedAvg({"w": np.zeros(1)}, 1, call="train it"), "the name of a @fox.collab function"),
        (lambda: FedAvg({"w": np.zeros(1)}, 1, blocking=False), "no option 'blocking'; its call options are"),
        (lambda: FedAvg({"w": np.zeros(1)}, 1, timeout=-1), "a positive number of seconds"),
        (lambda: Krum({"w": np.zeros(1)}, 1, byzantine=1, late=True), "Krum takes no option 'late'"),
        (lambda: Krum({"w": np.zeros(1)}, 1, byzantine=-1), "byzantine=-1: 0 or more"),
        (lambda: FedProx({"w": np.zeros(1)}, 1, mu=1), r"model=FLModel\(params=…\) is right"),
        (lambda: Scaffold({"w": np.zeros(1)}, 1), r"model=FLModel\(params=…\) is right"),
        (lambda: Cyclic({"w": np.zeros(1)}, 1, order="odd"), "'fixed' or 'shuffled' is right"),
        (lambda: FedAvg({"w": np.zeros(1)}, 1, keys=only("v*")), r"only\('v\*'\) chooses none of w"),
        (lambda: FedAvg([np.zeros(1)], 1, keys=only("v*")), "name → array is right, not list"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(make: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make()


together = threading.Barrier(3)  # of all sites of a round


class Slowly:
    """Lets the other sites answer first, in one of two orders; each sends something else."""

    def __init__(self, first: str) -> None:
        self._first = first

    @fox.collab
    def train(self, weights: Any) -> Any:
        if fox.site_name == self._first:
            together.wait(20)
            return {"w": weights["w"] * 0.3 + 0.1}, 3
        answer = {"w": weights["w"] * 0.7 + 0.2 / int(fox.site_name[-1])}, 7
        together.wait(20)
        return answer


def test_result_does_not_depend_on_who_answers_first(tmp_path: Path) -> None:
    start = {"w": np.random.default_rng(0).normal(size=100).astype("f4")}
    found = [run(FedAvg(start, 3), Slowly("site-1"), tmp_path, sites=3)["w"].tobytes() for _ in range(3)]

    assert len(set(found)) == 1
