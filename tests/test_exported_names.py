"""The public door: all names are there, and importing it costs next to nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fox_hpc
from fox_hpc import errors

HEAVY = ["torch", "numpy", "zmq", "submitit", "rich", "msgspec"]
SEED = {
    *("fox", "FoxRecipe", "FLModel", "CallOption", "FoxClientAPI", "get_client_api", "ModuleWrapper"),
    *("App", "ServerApp", "ClientApp", "Proxy", "ProxyList", "Group", "Backend", "SimBackend"),
    *("SimEnv", "PocEnv", "HpcEnv", "ExecEnv", "FoxSimulator", "FoxController", "FoxExecutor", "FoxWorker"),
    *("SubprocessLauncher", "SlurmLauncher", "HpcWorkerAdapter", "SummaryWriter", "broadcast_state_dict"),
}


@pytest.mark.parametrize("name", fox_hpc.__all__)
def test_name_is_there(name: str) -> None:
    assert getattr(fox_hpc, name) is not None
    assert name in dir(fox_hpc)


def test_names_are_sorted_and_complete() -> None:
    assert fox_hpc.__all__ == sorted(set(fox_hpc.__all__))
    assert set(fox_hpc.__all__) == set(fox_hpc._HOME_OF)
    assert set(fox_hpc.__all__) >= SEED


def test_every_error_is_exported() -> None:
    tree = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }

    assert tree <= set(fox_hpc.__all__)


def test_type_checkers_see_the_same_names_from_the_same_places() -> None:
    source = ast.parse(Path(fox_hpc.__file__).read_text())
    typed = {
        alias.name: node.module
        for block in source.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert typed == fox_hpc._HOME_OF


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fox_hpc' has no attribute 'nothing'"):
        _ = fox_hpc.nothing


def loaded_by(code: str) -> list[str]:
    report = f"import sys, json; {code}; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, timeout=60, check=True
    )
    loaded: list[str] = json.loads(done.stdout)
    return loaded


def test_import_loads_nothing_heavy() -> None:
    assert loaded_by("import fox_hpc") == []


def test_simulation_loads_neither_torch_nor_the_wires_sockets() -> None:
    assert loaded_by("from fox_hpc import fox, FoxRecipe, SimEnv, FoxClientAPI, FLModel") == ["msgspec"]


def test_import_is_quick() -> None:
    code = "import time; start = time.perf_counter(); import fox_hpc; print(time.perf_counter() - start)"
    deadline = time.monotonic() + 20
    seconds = 1.0
    # The best of some tries: the machine may be busy with other tests.
    while seconds > 0.15 and time.monotonic() < deadline:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        seconds = float(done.stdout)

    assert seconds < 0.15
