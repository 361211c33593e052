"""`fox-hpc new`: every template is a project that runs as it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Fox = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("template", ["collab", "client-api"])
def test_a_starter_runs_as_it_is(fox: Fox, tmp_path: Path, template: str) -> None:
    made = fox("new", "my-study", "--template", template)
    done = fox("submit", tmp_path / "my-study" / "recipe.py", "--env", "sim", "--json")

    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.endswith("run    fox-hpc submit my-study/recipe.py --env sim\n")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["run"].startswith("my-study-")
    assert told["result"]["weights"] == pytest.approx([1, 2, 3, 4], abs=0.01)
    assert not any("PROJECT" in file.read_text() for file in (tmp_path / "my-study").glob("*.*"))


def test_the_starter_for_several_nodes_asks_for_them(fox: Fox, tmp_path: Path) -> None:
    fox("new", "wide", "--template", "ddp")
    # The user's own model, as the README asks for: one that needs no torch yet.
    (tmp_path / "wide" / "model.py").write_text("def make_net(): ...\n")
    done = fox("render", tmp_path / "wide" / "recipe.py", "--site", "site-1", "--scheduler", "slurm")

    assert done.returncode == 0, done.stderr
    assert "#SBATCH --nodes=2" in done.stdout
    compile((tmp_path / "wide" / "train.py").read_text(), "train.py", "exec")


def test_nothing_is_overwritten(fox: Fox, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.py").write_text("mine")
    done = fox("new", "mine")

    assert (done.returncode, done.stderr) == (2, "fox-hpc: mine is there already: nothing was written\n")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["recipe.py"]


def test_a_name_that_is_no_name_of_a_job_is_refused(fox: Fox, tmp_path: Path) -> None:
    done = fox("new", "my study")

    assert done.returncode == 2
    assert "'my study' is no name of a project" in done.stderr
    assert not list(tmp_path.iterdir())
