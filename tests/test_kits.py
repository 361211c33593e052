"""The site kits: their files are what the code makes of them, and the hand-run wrapper really runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from fox_hpc.cli.kits import job_script
from fox_hpc.fake import FakeCluster
from fox_hpc.hpc.profile import load_profile
from fox_hpc.hpc.resources import HpcConfig
from fox_hpc.hpc.slurm import STATES
from fox_hpc.record import load_record

REPO = Path(__file__).resolve().parent.parent
KITS = sorted(path.parent.name for path in REPO.glob("*/site.toml"))
#: Shows what its job sees of the environment.
RECIPE = """
import os
from fox_hpc import FoxRecipe, fox

class Server:
    @fox.algo
    def ask(self):
        return {"server": dict(os.environ), **{site: seen for site, seen in fox.clients.look().items()}}

class Client:
    @fox.collab
    def look(self):
        return dict(os.environ)

recipe = FoxRecipe("looking", 2, Server(), Client(), hpc_config={"time_limit": "10"})
"""


@pytest.mark.parametrize("kit", KITS)
def test_a_kits_job_script_is_what_its_profile_gives(kit: str) -> None:
    """`scripts/kits` writes it."""
    assert (REPO / kit / "job.sh").read_text() == job_script(kit)


@pytest.mark.parametrize("kit", KITS)
def test_a_kits_profile_is_right_and_shows_every_key(kit: str) -> None:
    text = (REPO / kit / "site.toml").read_text()
    shown = re.findall(r"^(?:# )?(\w+) = ", text, flags=re.MULTILINE)

    assert load_profile(REPO / kit / "site.toml").job["scheduler"] == kit
    assert {field.name for field in fields(HpcConfig)} - set(shown) == set()
    assert "poll_s" in shown


def test_the_slurm_kits_states_are_those_of_the_dialect() -> None:
    rows = re.findall(
        r"^\| `([A-Z]+)` \| ([A-Z_ ]+)(?:, or known no more)? \|$",
        (REPO / "slurm" / "README.md").read_text(),
        flags=re.MULTILINE,
    )

    assert {word: ours for ours, words in rows for word in words.split()} == STATES


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(nodes=3, mem_mb=8000, kill_wait_s=0.5) as up:
        yield up


def environ_on(cluster: FakeCluster) -> dict[str, str]:
    programs = f"{cluster.env['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    return {**os.environ, **cluster.env, "PATH": programs, "TMPDIR": "/tmp"}


def sbatch(cluster: FakeCluster, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "looking.py").write_text(RECIPE)
    return subprocess.run(
        ["sbatch", "--parsable", *words],
        cwd=folder,
        env=environ_on(cluster),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_run_from_inside_a_job_leaks_nothing_of_that_job(tmp_path: Path, cluster: FakeCluster) -> None:
    done = sbatch(cluster, tmp_path, "--wait", str(REPO / "slurm" / "site.sbatch"), "looking.py", "--json")
    outer = done.stdout.strip()
    log = (tmp_path / f"fox-relay-{outer}.log").read_text()

    assert done.returncode == 0, log
    told = json.loads(log.splitlines()[-1])
    assert told["state"] == "DONE"
    assert told["result"]["server"]["SLURM_JOB_ID"] == outer
    for site in ("site-1", "site-2"):
        seen = told["result"][site]
        assert seen["SLURM_JOB_ID"] == told["sites"][site]["job_id"] != outer
        assert "TMPDIR" not in seen
        assert "SLURM_MEM_PER_NODE" not in seen
        assert seen["SLURM_CPUS_PER_TASK"] == "1"
        leaked = {name: value for name, value in seen.items() if outer in value or "fox-relay" in value}
        assert leaked == {}
        assert not [
            name for name in seen if name.startswith(("SBATCH_", "SRUN_")) and name != "SRUN_CPUS_PER_TASK"
        ]


def test_a_run_whose_own_job_is_ended_cancels_its_sites(tmp_path: Path, cluster: FakeCluster) -> None:
    """The signal that Slurm sends before the time limit reaches fox-hpc itself, and nothing is left."""
    recipe = RECIPE.replace(
        "return {", "import time\n        while not fox.is_aborted: time.sleep(0.02)\n        return {"
    )
    (tmp_path / "looking.py").write_text(recipe)
    environ = environ_on(cluster)

    def call(*argv: str) -> str:
        done = subprocess.run(
            argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    outer = call("sbatch", "--parsable", str(REPO / "slurm" / "site.sbatch"), "looking.py")
    wait_until(lambda: len(call("squeue", "-h", "-t", "running", "-o", "%i").split()) == 3)
    call("scancel", "--signal=TERM", "--batch", outer)
    wait_until(lambda: call("squeue", "-h", "-t", "running,pending,completing", "-o", "%i") == "")
    [folder] = (tmp_path / "fox_runs").iterdir()

    assert load_record(folder).state == "CANCELLED"
    assert call("squeue", "-h", "-t", "cancelled", "-o", "%j").count("looking-") == 2


def wait_until(condition: object) -> None:
    import time

    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
