"""FoxRecipe: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fox_hpc import FoxClientAPI, FoxRecipe, ModuleWrapper, RecipeError, SimEnv, fox


class Server:
    @fox.algo
    def run(self) -> str:
        return "ran"


class Client:
    @fox.collab
    def train(self) -> None: ...


def recipe(**arguments: Any) -> FoxRecipe:
    return FoxRecipe(**{"job_name": "job", "server": Server(), "client": Client(), **arguments})


@pytest.fixture
def script_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "recipe_scripts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "client.py").write_text("raise RuntimeError('only the sites run this')\n")
    (tmp_path / "recipe_trainer.py").write_text(
        "from fox_hpc import fox\n\n@fox.collab\ndef train():\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "recipe_trainer", raising=False)
    monkeypatch.delitem(sys.modules, "recipe_scripts", raising=False)
    return tmp_path


def test_parameters_of_the_seed_are_all_accepted() -> None:
    made = FoxRecipe(
        job_name="fedavg",
        min_clients=5,
        server=Server(),
        client=Client(),
        inprocess=False,
        run_cmd="torchrun --nproc_per_node=4",
        hpc_config={"nodes_per_client": 2},
        tracking_type="tensorboard",
    )

    assert repr(made) == "<FoxRecipe fedavg · server Server · client Client>"
    assert (made.hpc_config.nodes_per_client, made.client_class) == (2, "Client")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"min_client": 2},
            r"no argument 'min_client'; did you mean 'min_clients'\? Right are job_name, .*sites$",
        ),
        ({"epochs": 3}, r"no argument 'epochs'\. Right are job_name"),
        ({"job_name": "a b"}, "job_name='a b': .*letters, digits"),
        ({"job_name": "../up"}, "job_name='../up'"),
        ({"min_clients": 0}, "min_clients=0: a whole number from 1 on"),
        ({"min_clients": "2"}, "min_clients='2'"),
        ({"min_clients": True}, "min_clients=True"),
        ({"server": None}, "server= is missing"),
        ({"client": None}, "client= is missing"),
        ({"server": Server}, "Server is a class: give an instance"),
        ({"server": Client()}, r"server Client has no function marked @fox\.algo"),
        ({"client": Server()}, r"client Server has no function marked @fox\.collab"),
        ({"client": "no_such_module"}, "module 'no_such_module' cannot be imported"),
        ({"inprocess": "no", "run_cmd": "python"}, "inprocess='no': True or False is right"),
        ({"inprocess": False}, "inprocess=False needs run_cmd"),
        (
            {"inprocess": False, "run_cmd": ["torchrun"]},
            r"run_cmd=\['torchrun'\]: a command line as one string",
        ),
        ({"run_cmd": "torchrun"}, "would not be used: it goes with inprocess=False"),
        ({"client": FoxClientAPI()}, "needs training_module='my.script'"),
        ({"client": FoxClientAPI(), "training_module": 3}, "training_module=3: a dotted module name"),
        (
            {"client": FoxClientAPI(), "training_module": "no.such"},
            "training_module='no.such' cannot be found",
        ),
        ({"client": FoxClientAPI(), "training_module": "nosuch"}, "'nosuch' cannot be found on sys.path"),
        ({"training_module": "json"}, "training_module='json' would not be used"),
        ({"hpc_config": "gpu"}, "hpc_config='gpu' is a str, and must be a mapping"),
        ({"hpc_config": {"nodes": 2}}, "hpc_config has no key 'nodes'"),
        ({"tracking_type": "paper"}, "tracking_type='paper': 'tensorboard', 'mlflow', 'wandb', an object"),
        ({"sites": ["site-1"]}, "sites= is a mapping of mappings"),
        (
            {"sites": {"site-1": {"gpus": 1}}},
            r"sites\['site-1'\] has no key 'gpus'; right are run_cmd, hpc_config",
        ),
        (
            {"sites": {"site-1": {"run_cmd": "python"}}},
            r"sites\['site-1'\]\['run_cmd'\]='python' would not be used",
        ),
        (
            {"sites": {"site-1": {"hpc_config": {"x": 1}}}},
            r"sites\['site-1'\]\['hpc_config'\] has no key 'x'",
        ),
    ],
)
def test_wrong_argument_is_refused_with_what_is_right(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**arguments)


def test_two_algorithms_are_refused_by_name() -> None:
    class Two(Server):
        @fox.algo
        def other(self) -> None: ...

    with pytest.raises(RecipeError, match=r"2 @fox\.algo \(run, other\): keep one"):
        recipe(server=Two())


def test_sites_have_their_own_settings_over_the_common_ones() -> None:
    made = recipe(
        min_clients=2,
        inprocess=False,
        run_cmd="torchrun",
        hpc_config={"partition": "cpu", "nodes_per_client": 2},
        sites={"site-2": {"run_cmd": "mpirun", "hpc_config": {"queue": "gpu"}}},
    )
    first, second = made.site_specs(2)

    assert (first.name, first.run_cmd, second.run_cmd) == ("site-1", "torchrun", "mpirun")
    assert first.hpc == {"partition": "cpu", "nodes_per_client": 2}
    assert second.hpc == {"partition": "gpu", "nodes_per_client": 2}


def test_settings_of_a_site_that_is_not_there_are_refused() -> None:
    with pytest.raises(
        RecipeError, match="sites= has 'site-3', but the sites of this run are site-1, site-2"
    ):
        recipe(sites={"site-3": {}}).site_specs(2)


def test_fewer_sites_than_needed_are_refused() -> None:
    with pytest.raises(RecipeError, match="min_clients=3, but the environment has 2 sites"):
        recipe(min_clients=3).site_specs(2)


def test_client_may_be_a_module_its_name_or_a_wrapper(script_folder: Path) -> None:
    import recipe_trainer  # type: ignore[import-not-found]

    for client in (recipe_trainer, "recipe_trainer", ModuleWrapper(recipe_trainer)):
        made = recipe(client=client)
        assert (made.client_class, made.code_path[0]) == ("recipe_trainer", str(script_folder))


def test_module_without_a_marked_function_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"client bare has no function marked @fox\.collab"):
        recipe(client=ModuleType("bare"))


def test_script_is_found_and_not_run(script_folder: Path) -> None:
    made = recipe(client=FoxClientAPI(), training_module="recipe_scripts.client")

    assert made.client_class == "FoxClientAPI"
    assert str(script_folder) in made.code_path


def test_client_api_with_a_function_is_named_after_it() -> None:
    def train() -> None: ...

    api = FoxClientAPI()
    api.set_training_func(train)
    made = recipe(client=api)

    assert made.client_class.endswith("train")
    assert str(ModuleWrapper(sys.modules[__name__]).folder) in made.code_path


def test_client_api_with_a_function_and_a_script_is_refused(script_folder: Path) -> None:
    api = FoxClientAPI()
    api.set_training_func(lambda: None)

    with pytest.raises(RecipeError, match="would not be used"):
        recipe(client=api, training_module="recipe_scripts.client")


def test_code_path_leaves_out_what_is_installed() -> None:
    made = recipe()

    assert str(ModuleWrapper(sys.modules[__name__]).folder) in made.code_path
    assert not any(
        "site-packages" in folder or folder.endswith("lib/python3.11") for folder in made.code_path
    )


@pytest.mark.parametrize("env", [None, "sim", SimEnv])
def test_what_is_no_environment_is_refused(env: Any) -> None:
    with pytest.raises(RecipeError, match="an environment is right"):
        recipe().execute(env)


def test_execute_gives_a_run(tmp_path: Path) -> None:
    assert recipe().execute(SimEnv(workspace=tmp_path)).result() == "ran"
