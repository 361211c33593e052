"""The examples in the environments that their pages name; their servers share this process, and its torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fox_hpc import Filters, FLModel, FoxClientAPI, FoxRecipe, HpcEnv, PocEnv, SimEnv
from fox_hpc.algos import only
from fox_hpc.cli.load import load
from fox_hpc.testing.digits import fit_linear, linear_accuracy, make_linear, site_share

pytestmark = pytest.mark.skipif(not find_spec("sklearn"), reason="needs scikit-learn's digits")

EXAMPLES = Path(__file__).parent.parent / "examples"
Load = Callable[[str], ModuleType]


@pytest.fixture
def example() -> Iterator[Load]:
    """Give a function that loads a recipe's file; at the end none of its modules is left."""
    before, path = set(sys.modules), list(sys.path)

    def load_example(file: str) -> ModuleType:
        return sys.modules[load(str(EXAMPLES / file)).file.stem]

    yield load_example
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


@pytest.fixture
def result(tmp_path: Path) -> Callable[..., Any]:
    """Give a function that runs a recipe in an environment, on this folder, and gives its result."""

    def run(recipe: FoxRecipe, env: type[Any] = SimEnv, **options: Any) -> Any:
        ended = recipe.execute(env(workspace=tmp_path, **options))
        outcome = ended.result()
        assert ended.failures == {}
        return outcome

    return run


def linear_alone(rounds: int, sites: int) -> float:
    """How good a softmax regression becomes on the share of site 1, with as many steps as in these rounds."""
    weights, share = make_linear(), site_share("site-1", sites)
    for _ in range(rounds):
        weights = fit_linear(weights, *share)
    return linear_accuracy(weights)


def alone(module: ModuleType) -> FoxRecipe:
    """The same recipe with one site, which has its share only."""
    recipe = module.recipe
    return FoxRecipe("alone", 1, recipe.server_app.obj, recipe.client_app.obj, props=recipe.props)


def spied(module: ModuleType, seen: list[Any]) -> FoxRecipe:
    """The same recipe with a filter that keeps what comes to the server and leaves it."""

    def keep(func: str, value: Any) -> Any:
        seen.append(value)
        return value

    recipe = module.recipe
    return FoxRecipe(
        "spied",
        recipe.min_clients,
        recipe.server_app.obj,
        recipe.client_app.obj,
        props=recipe.props,
        sites=recipe.sites,
        server_filters=Filters(incoming=[keep], outgoing=[keep]),
    )


def arrays_in(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from arrays_in(each)


def test_hello_gives_the_same_weights_in_a_process_of_its_own(example: Load, result: Any) -> None:
    here = result(example("01_hello_collab/recipe.py").recipe)

    assert result(example("01_hello_collab/job.py").recipe, PocEnv) == here


def test_fedavg_gives_the_same_weights_in_every_environment(example: Load, result: Any) -> None:
    module = example("02_fedavg/recipe.py")

    def anew() -> FoxRecipe:
        # The model that a run has trained is its server's, and would be where the next one begins.
        return FoxRecipe("fedavg", module.SITES, module.FedAvg(rounds=5), module.Trainer())

    here = result(anew())

    assert here["accuracy"] >= 0.93
    assert result(anew(), PocEnv) == here
    assert result(anew(), HpcEnv, scheduler="fake-slurm") == here


@pytest.mark.parametrize("folder", ["03_client_api_ddp", "04_collab_ddp"])
def test_an_example_for_many_ranks_also_runs_on_one(folder: str, example: Load, result: Any) -> None:
    assert result(example(f"{folder}/recipe.py").recipe)["accuracy"] >= 0.93


@pytest.mark.timeout(300)
def test_a_called_function_may_use_collectives_on_all_ranks(example: Load, result: Any) -> None:
    recipe = example("04_collab_ddp/recipe.py").recipe
    # Plain ranks, one a node: a torchrun on each would cost twice the start-up, and other tests have it.
    recipe.run_cmd = "srun --ntasks=2"

    assert result(recipe, HpcEnv, scheduler="fake-slurm")["accuracy"] >= 0.93


@pytest.mark.timeout(300)
def test_the_ddp_script_also_runs_under_mpirun(example: Load, result: Any) -> None:
    pytest.importorskip("mpi4py")
    if not Path(sys.executable).with_name("mpirun").exists():
        pytest.skip("there is no mpirun beside this interpreter")
    module = example("03_client_api_ddp/recipe.py")
    # One site and one round are enough: what is new is how the ranks start and meet.
    recipe = FoxRecipe(
        "one-site",
        1,
        module.FedAvg(rounds=1),
        FoxClientAPI(),
        training_module="train",
        inprocess=False,
        run_cmd="mpirun -np 2",
    )

    assert result(recipe, PocEnv)["accuracy"] > 0.7


def test_collectives_work_on_this_machine_without_a_scheduler(example: Load, result: Any) -> None:
    module = example("04_collab_ddp/poc.py")
    # One site and a few rounds are enough: the page's other commands run the whole of it.
    recipe = FoxRecipe(
        "one-site",
        1,
        module.FedSgd(rounds=1),
        module.Trainer(),
        inprocess=False,
        run_cmd=module.recipe.run_cmd,
    )

    assert result(recipe, PocEnv)["accuracy"] > 0.6


def test_the_script_gives_the_same_weights_in_its_sites_process_and_in_its_own(
    example: Load, result: Any
) -> None:
    inside, outside = (example(f"05_client_api/{name}.py").recipe for name in ("recipe", "job"))
    here = result(inside)

    assert result(inside, PocEnv) == here
    assert result(outside, PocEnv) == here
    assert here["accuracy"] > linear_alone(rounds=10, sites=2) + 0.1


def test_a_swarm_learns_and_its_server_sees_no_weights(example: Load, result: Any) -> None:
    module, seen = example("06_swarm/recipe.py"), list[Any]()
    here = result(spied(module, seen))

    assert result(module.recipe, HpcEnv, scheduler="fake-slurm") == here
    assert here["accuracy"] > linear_alone(rounds=10, sites=3) + 0.1
    assert seen
    assert list(arrays_in(seen)) == []


def test_split_learning_sends_activations_and_no_images(example: Load, result: Any) -> None:
    module, seen = example("07_split/recipe.py"), list[Any]()
    here = result(spied(module, seen))

    assert result(module.recipe, PocEnv) == here
    assert here["accuracy"] > result(alone(module))["accuracy"] + 0.1
    tables = [array for array in arrays_in(seen) if array.ndim == 2]
    assert {table.shape[1] for table in tables} == {module.HIDDEN}


def test_a_personal_head_stays_and_does_better_than_one_for_all(
    example: Load, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, seen = example("08_personalised/recipe.py"), list[Any]()
    here = result(spied(module, seen))

    assert result(module.recipe, PocEnv) == here
    assert here["sites"]["site-1"] > result(alone(module))["accuracy"]
    assert {name for each in seen if isinstance(each, FLModel) for name in each.params} == {
        "body.w",
        "body.b",
    }
    monkeypatch.setattr(module, "BODY", only("*"))
    assert result(module.recipe)["accuracy"] < here["accuracy"] - 0.3


def test_adapters_alone_teach_a_frozen_model(example: Load, result: Any) -> None:
    pytest.importorskip("torch")
    module = example("09_adapters/recipe.py")
    here = result(module.recipe)

    assert result(module.recipe, PocEnv) == here
    assert here["travels"] < here["of"] / 5
    assert here["accuracy"] > here["frozen_accuracy"] + 0.5
    assert here["accuracy"] > result(alone(module))["accuracy"] + 0.05


@pytest.mark.parametrize("env", [SimEnv, PocEnv])
def test_a_slow_site_holds_nobody_up(example: Load, result: Any, env: type[Any]) -> None:
    module = example("10_async/recipe.py")
    here = result(module.recipe, env)

    assert here["accuracy"] > linear_alone(rounds=40, sites=3) + 0.05
    assert sum(here["used"].values()) == 2 * here["rounds"]
    assert here["used"].get("site-3", 0) < (here["used"]["site-1"] + here["used"]["site-2"]) / 2
