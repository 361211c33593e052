"""`recipe.export()` and what runs of it elsewhere."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fox_hpc import Filters, FoxClientAPI, FoxRecipe, RecipeError, fox
from fox_hpc.export.folder import open_exported
from fox_hpc.export.manifest import write_manifest

REPO = Path(__file__).resolve().parents[2]
SERVER = """
from fox_hpc import fox

class Sum:
    def __init__(self, rounds):
        self.rounds = rounds

    @fox.algo
    def add_up(self):
        return sum(sum(fox.clients.double(number)) for number in range(self.rounds))
"""
CLIENT = """
from factor import FACTOR
from fox_hpc import fox

@fox.collab
def double(number):
    return FACTOR * number
"""
JOB = """
import os
import client
from summing import Sum
from fox_hpc import FoxRecipe

recipe = FoxRecipe(
    "summing", int(os.environ.get("SITES", "2")), Sum(4), client,
    hpc_config={"time_limit": "0:10:00"}, sites={"site-1": {"hpc_config": {"mem": "1G"}}},
)
"""
WITH_SERVER = """
import exported_client
from fox_hpc import FoxRecipe
recipe = FoxRecipe("job", 1, Sum(1), exported_client)
"""
#: As a user has it who runs the file that defines the recipe.
SCRIPT = (
    JOB
    + """
if __name__ == "__main__":
    import sys
    print(recipe.export(*sys.argv[1:]))
"""
)


def python(*words: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPO)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, exported twice by running it as a script: with its code, and by name."""
    folder = tmp_path_factory.mktemp("project")
    files = {"job.py": SCRIPT, "summing.py": SERVER, "client.py": CLIENT, "factor.py": "FACTOR = 2\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    for words in (["shipped", "src"], ["named"]):
        done = python("job.py", *words, cwd=folder)
        assert (done.returncode, done.stdout.strip()) == (0, str(folder / words[0])), done.stderr
    return folder


def submit(folder: Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "fox_hpc", "submit", folder, "--env", "sim", "--json", cwd=cwd, **environ)


def test_the_job_file_tells_a_reader_all_arguments(project: Path) -> None:
    told = json.loads((project / "shipped" / "job.json").read_text())

    assert told["recipe"] == {"file": "src/job.py", "name": "recipe"}
    assert told["code"] == {"shipped": True, "modules": ["client", "factor", "summing"]}
    assert {name: value for name, value in told["arguments"].items() if value not in (None, {}, [])} == {
        "job_name": "summing",
        "min_clients": 2,
        "server": "summing:Sum",
        "client": "client",
        "inprocess": True,
        "hpc_config": {"time_limit": "0:10:00"},
        "sites": {"site-1": {"hpc_config": {"mem": "1G"}}},
    }


def test_a_folder_with_its_code_runs_where_nothing_else_is(project: Path, tmp_path: Path) -> None:
    (project / "shipped").rename(tmp_path / "elsewhere")
    done = submit(tmp_path / "elsewhere", tmp_path)
    (tmp_path / "elsewhere").rename(project / "shipped")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == 24


def test_a_folder_that_names_its_code_needs_it_on_the_path(project: Path, tmp_path: Path) -> None:
    without = submit(project / "named", tmp_path)
    beside = submit(project / "named", tmp_path, PYTHONPATH=f"{REPO}{os.pathsep}{project}")

    assert without.returncode == 2
    assert "module 'client' is not here: this folder only names its code" in without.stderr
    assert json.loads(beside.stdout)["result"] == 24


def test_a_changed_file_is_refused_before_anything_runs(project: Path, tmp_path: Path) -> None:
    file = project / "shipped" / "src" / "client.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{CLIENT}")
    done = submit(project / "shipped", tmp_path)
    file.write_text(CLIENT)

    assert done.returncode == 2
    assert "src/client.py was changed after the export: MANIFEST.sha256 has another sum" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_recipe_that_makes_something_else_here_than_its_readers_saw_is_refused(
    project: Path, tmp_path: Path
) -> None:
    done = submit(project / "shipped", tmp_path, SITES="3")

    assert done.returncode == 2
    assert "job.json says min_clients=2, but job.py makes 3 here" in done.stderr


class Server:
    @fox.algo
    def run(self) -> None: ...


class Client:
    @fox.collab
    def train(self) -> None: ...


recipe = FoxRecipe("here", 1, Server(), Client())


def test_the_command_and_the_method_write_the_same_folder(project: Path, tmp_path: Path) -> None:
    done = python(
        "-m", "fox_hpc", "export", project / "job.py", tmp_path / "out", "--code", "src", cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert f"sign    {tmp_path}/out/MANIFEST.sha256" in done.stdout
    manifests = [folder / "MANIFEST.sha256" for folder in (tmp_path / "out", project / "shipped")]
    assert manifests[0].read_text() == manifests[1].read_text()


def test_an_export_never_mixes_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(
        RecipeError, match="has something in it already: a new folder, or an empty one, is right"
    ):
        recipe.export(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_recipe_that_no_file_makes_cannot_be_exported(tmp_path: Path) -> None:
    made = FoxRecipe("nowhere", 1, Server(), Client())
    with pytest.raises(RecipeError, match=r"no file makes it when it is loaded\. `recipe = FoxRecipe"):
        made.export(tmp_path / "out")


def test_objects_beside_a_recipe_in_a_package_would_be_called_otherwise_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "exported_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "job.py").write_text(SERVER + WITH_SERVER)
    (tmp_path / "exported_client.py").write_text(
        "from fox_hpc import fox\n@fox.collab\ndef double(number): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    job = importlib.import_module("exported_package.job")

    with pytest.raises(RecipeError, match=r"is the module exported_package\.job here, but is loaded as job"):
        job.recipe.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_file_that_the_manifest_does_not_list_is_not_run(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(project / "shipped", folder)
    text = (folder / "job.json").read_text().replace("src/job.py", str(project / "job.py"))
    (folder / "job.json").write_text(text)
    write_manifest(folder)

    with pytest.raises(RecipeError, match=r"job\.py, which MANIFEST\.sha256 does not list"):
        open_exported(folder)


@pytest.mark.parametrize("code", ["/src", "../src", "."], ids=["absolute", "above", "itself"])
def test_the_code_goes_into_a_folder_within_the_exported_one(tmp_path: Path, code: str) -> None:
    with pytest.raises(RecipeError, match="the name of a folder within the exported one is right"):
        recipe.export(tmp_path / "out", code=code)


def test_every_argument_of_a_recipe_is_told() -> None:
    # An argument whose attribute has another name would be told as None to those who review a folder.
    held = {f"{place}{kind}" for place in ("server", "client") for kind in ("", "_objects")}
    held |= {"server_filters", "site_filters"}
    names = set(inspect.signature(FoxRecipe).parameters) - {"unknown"}

    assert set(recipe.described()) == names
    assert {name for name in names - held if not hasattr(recipe, name)} == set()


def test_sub_objects_and_filters_are_told_by_name() -> None:
    told = FoxRecipe(
        "parts",
        1,
        Server(),
        Client(),
        client_objects={"eval": Client()},
        site_filters=Filters(outgoing=[_keep]),
    ).described()

    assert told["client_objects"]["eval"].endswith("test_folder:Client")
    assert list(told["site_filters"]) == ["outgoing"]
    assert told["site_filters"]["outgoing"][0].endswith("test_folder:_keep")


def _keep(value: Any) -> Any:
    return value


def test_a_training_function_is_told_in_the_place_of_the_api_that_runs_it() -> None:
    api = FoxClientAPI()
    api.set_training_func(_train)
    told: dict[str, Any] = FoxRecipe("func", 1, Server(), api).described()

    assert told["client"].endswith("test_folder:_train")


def _train() -> None: ...
