"""The examples, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def submit(example: str, *options: str, folder: Path) -> dict[str, Any]:
    """Run `fox-hpc submit … --json` on an example and give its last line."""
    command = [
        sys.executable,
        "-m",
        "fox_hpc",
        "submit",
        str(EXAMPLES / example / "recipe.py"),
        "--json",
        *options,
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def digest(example: str, *options: str, folder: Path) -> str:
    answer = submit(example, *options, folder=folder)
    assert answer["result"]["accuracy"] >= 0.93
    return str(answer["result"]["digest"])


@pytest.fixture(scope="module")
def on_fake(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the main job on the fake Slurm, once: it takes half a minute."""
    return submit("03_client_api_ddp", "--scheduler", "fake-slurm", folder=tmp_path_factory.mktemp("fake"))


def test_hello_collab_learns_the_digits(tmp_path: Path):
    answer = submit("01_hello_collab", "--env", "sim", folder=tmp_path)

    assert answer["state"] == "DONE"
    assert answer["result"]["rounds"] == 15
    assert answer["result"]["accuracy"] >= 0.93


def test_fedavg_gives_the_same_weights_in_every_environment(tmp_path: Path):
    environments = (["--env", "sim"], ["--env", "poc"], ["--scheduler", "fake-slurm"])

    assert len({digest("02_fedavg", *options, folder=tmp_path) for options in environments}) == 1


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_main_job_ends_with_the_same_weights_on_the_real_slurm(tmp_path: Path):
    schedulers = ("fake-slurm", "slurm")

    assert (
        len({digest("03_client_api_ddp", "--scheduler", name, folder=tmp_path) for name in schedulers}) == 1
    )


@pytest.mark.cluster
def test_hello_collab_learns_the_same_on_the_real_slurm(tmp_path: Path):
    places = (["--env", "sim"], ["--scheduler", "slurm"])
    told = [submit("01_hello_collab", *options, folder=tmp_path)["result"] for options in places]

    assert told[0] == told[1]


@pytest.mark.parametrize("example", ["03_client_api_ddp", "04_collab_ddp"])
def test_an_example_for_many_ranks_also_runs_on_one(example: str, tmp_path: Path):
    answer = submit(example, "--env", "sim", folder=tmp_path)

    assert answer["result"]["accuracy"] >= 0.93


@pytest.mark.timeout(300)
def test_the_main_job_trains_two_sites_of_two_nodes_with_ddp(on_fake: dict[str, Any]):
    answer = on_fake

    assert answer["result"]["rounds"] == 5
    assert answer["result"]["accuracy"] >= 0.93
    assert {site["state"] for site in answer["sites"].values()} == {"DONE"}
    assert {site["scheduler"] for site in answer["sites"].values()} == {"fake-slurm"}
    curves = list(Path(answer["workspace"]).glob("tensorboard/*/events*"))
    assert sorted(path.parent.name for path in curves) == ["server", "site-1", "site-2"]


@pytest.mark.timeout(300)
def test_a_called_function_may_use_collectives_on_all_ranks(tmp_path: Path):
    # Plain ranks: a torchrun on each node would cost twice the start-up, and the test above has it.
    text = (EXAMPLES / "04_collab_ddp" / "recipe.py").read_text()
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        text.replace("srun torchrun --nproc_per_node=2 --nnodes=$SLURM_NNODES", "srun --ntasks=4")
    )
    command = [sys.executable, "-m", "fox_hpc", "submit", str(recipe), "--scheduler", "fake-slurm", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["result"]["accuracy"] >= 0.93
