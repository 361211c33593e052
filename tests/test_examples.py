"""Examples 01 and 03, run by the command as a user runs them; see test_federated_examples for the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.hpc.slurm import expand_nodes

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


@pytest.mark.cluster
@pytest.mark.again
@pytest.mark.timeout(300)
def test_the_main_job_ends_with_the_same_weights_on_the_real_slurm(on_fake: dict[str, Any], tmp_path: Path):
    there = digest("03_client_api_ddp", "--scheduler", "slurm", folder=tmp_path)

    assert there == on_fake["result"]["digest"]


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_main_job_ends_with_the_same_weights_when_a_slurmd_is_killed(
    on_fake: dict[str, Any], killed_slurmd: Callable[[Path], None], tmp_path: Path
):
    profile = tmp_path / "site.toml"
    profile.write_text('[job]\nscheduler = "slurm"\nexclusive = true\n')
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(submit, "03_client_api_ddp", "--profile", str(profile), folder=tmp_path)
        killed_slurmd(tmp_path / "fox_runs")
        answer = running.result()

    assert answer["result"]["digest"] == on_fake["result"]["digest"]
    assert [answer["sites"][site]["attempts"] for site in ("site-1", "site-2")] == [2, 1]


@pytest.fixture
def killed_slurmd() -> Iterator[Callable[[Path], None]]:
    """Give a function that kills the slurmd of site-1's first node in the second round, and tells Slurm."""
    state, nodes = Path(os.environ["FOX_TEST_SLURM"]).parent, []

    def kill(runs: Path) -> None:
        deadline = time.monotonic() + 120
        while not (record := second_round(runs)):
            assert time.monotonic() < deadline, "the second round did not begin"
            time.sleep(0.1)
        nodes.extend(expand_nodes(record["sites"]["site-1"]["nodes"])[:1])
        os.kill(int((state / f"{nodes[0]}.pid").read_text()), signal.SIGKILL)
        # It would find out by itself, but the job, whose processes go on, might end before.
        down = ["scontrol", "update", f"nodename={nodes[0]}", "state=down", "reason=test"]
        subprocess.run(down, check=True, timeout=30)

    yield kill
    for node in nodes:
        command = [ROOT / "scripts" / "slurm-cluster", "start-node", node, "--state", state]
        subprocess.run(command, check=True, timeout=90)


def second_round(runs: Path) -> dict[str, Any] | None:
    """Give the record of the only run once it has done a round, and site-1 is in a call."""
    for file in runs.glob("*/status.json"):
        record: dict[str, Any] = json.loads(file.read_text())
        if record["round"] >= 1 and record["sites"]["site-1"]["call"]:
            return record
    return None


@pytest.mark.timeout(300)
def test_the_main_job_trains_two_sites_of_two_nodes_with_ddp(on_fake: dict[str, Any]):
    answer = on_fake

    assert answer["result"]["rounds"] == 5
    assert answer["result"]["accuracy"] >= 0.93
    assert {site["state"] for site in answer["sites"].values()} == {"DONE"}
    assert {site["scheduler"] for site in answer["sites"].values()} == {"fake-slurm"}
    curves = list(Path(answer["workspace"]).glob("tensorboard/*/events*"))
    assert sorted(path.parent.name for path in curves) == ["server", "site-1", "site-2"]
