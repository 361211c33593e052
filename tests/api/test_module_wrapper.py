"""Modules in the place of objects."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fox_hpc import ClientApp, ModuleWrapper, RecipeError

SOURCE = """
from fox_hpc import fox

@fox.collab
def train():
    return "trained"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "house" / "rooms"
    package.mkdir(parents=True)
    for file in (tmp_path / "lonely_trainer.py", package / "kitchen.py", package / "__init__.py"):
        file.write_text(SOURCE)
    for name in ("lonely_trainer", "house", "house.rooms", "house.rooms.kitchen"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def in_another_process(code: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["lonely_trainer", "house.rooms.kitchen", "house.rooms"])
def test_module_is_known_by_name_and_folder(folder: Path, name: str) -> None:
    wrapper = ModuleWrapper(name)

    assert (wrapper.name, wrapper.folder) == (name, folder)


def test_functions_of_the_module_are_the_wrappers(folder: Path) -> None:
    wrapper = ModuleWrapper("lonely_trainer")

    assert wrapper.train() == "trained"
    assert repr(ClientApp(wrapper)) == "<ClientApp lonely_trainer · train>"


def test_wrapper_travels_by_name_to_a_process_that_does_not_know_the_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = pickle.dumps(ModuleWrapper("house.rooms.kitchen")).hex()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).train())"

    assert in_another_process(code, elsewhere, data) == "trained"


def test_script_is_known_by_the_name_of_its_file(folder: Path) -> None:
    script = folder / "my_job.py"
    script.write_text(
        SOURCE
        + """
import pickle, sys
from fox_hpc import ModuleWrapper
wrapper = ModuleWrapper(sys.modules["__main__"])
print(wrapper.name, wrapper.folder, wrapper.module.__name__, pickle.dumps(wrapper).count(b"__main__"))
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == ["my_job", str(folder), "__main__", "0"], done.stderr


def test_script_run_as_a_module_is_known_by_its_dotted_name(folder: Path) -> None:
    job = folder / "house" / "job.py"
    job.write_text(
        "import sys; from fox_hpc import ModuleWrapper as M; w = M(sys.modules['__main__']); "
        "print(w.name, w.folder)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "house.job"], cwd=folder, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["house.job", str(folder)], done.stderr


def test_module_without_a_file_does_not_travel() -> None:
    with pytest.raises(RecipeError, match="module made_up has no file"):
        pickle.dumps(ModuleWrapper(ModuleType("made_up")))


def test_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match="module 'no_such_thing' cannot be imported: ModuleNotFoundError"):
        ModuleWrapper("no_such_thing")
