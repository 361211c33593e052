"""The worked examples of docs/porting.md, run as a reader runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PAGE = REPO / "docs" / "porting.md"
#: Both sites pull towards their own data, 0 1 2 3 and 10 11 12 13; the average lies between.
BETWEEN = [5.0, 6.0, 7.0, 8.0]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the page, each block in the file that its first line names."""
    folder = tmp_path_factory.mktemp("porting")
    for name, text in re.findall(
        r"^```python\n# (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_block_of_the_page_has_a_file(examples: Path) -> None:
    files = sorted(file.relative_to(examples).as_posix() for file in examples.rglob("*.py"))
    client_api = ["client_api/recipe.py", "client_api/server.py", "client_api/train.py"]

    assert files == [*client_api, "collab/hello.py", "flower/recipe.py"]
    assert PAGE.read_text().count("```python\n") == len(files)


def test_a_collab_script_runs_with_its_imports_changed(examples: Path) -> None:
    done = run("hello.py", folder=examples / "collab")

    assert done.returncode == 0, done.stderr
    assert f"status: DONE\nresult: {BETWEEN}\n" in done.stdout


def test_a_client_api_script_runs_with_a_loop_for_the_server(examples: Path) -> None:
    done = run(
        "-m", "fox_hpc", "submit", "recipe.py", "--env", "sim", "--json", folder=examples / "client_api"
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == BETWEEN


def test_a_flower_app_runs_as_functions_and_a_loop(examples: Path) -> None:
    done = run("-m", "fox_hpc", "submit", "recipe.py", "--env", "sim", "--json", folder=examples / "flower")

    assert done.returncode == 0, done.stderr
    # At best half way between the sites: 5² on each side.
    assert json.loads(done.stdout)["result"]["loss"] == pytest.approx(25, abs=2)
