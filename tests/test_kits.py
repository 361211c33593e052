"""The site kits: their files are what the code makes of them, and the hand-run wrapper really runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
from waiting import wait_for

from fox_hpc.cli.kits import job_script
from fox_hpc.errors import RecipeError
from fox_hpc.fake import FakeCluster
from fox_hpc.hpc import lsf_answers, pbs_answers, slurm
from fox_hpc.hpc.dialect import JobPlan
from fox_hpc.hpc.executor import make_executor, render
from fox_hpc.hpc.profile import load_profile
from fox_hpc.hpc.resources import HpcConfig
from fox_hpc.record import load_record

REPO = Path(__file__).resolve().parent.parent
KITS = sorted(path.parent.name for path in REPO.glob("*/site.toml"))
#: What a dialect cannot say, so that its site.toml need not show it.
UNSAID = {"slurm": set(), "pbs": {"qos", "gpu_request"}, "lsf": {"qos", "gpu_request"}}
#: The words of a scheduler, without those of PBS whose meaning the exit code decides.
STATES = {
    "slurm": slurm.STATES,
    "pbs": {word: state for word, state in pbs_answers.STATES.items() if state is not None},
    "lsf": lsf_answers.STATES | lsf_answers.REASONS,
}
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
    assert {field.name for field in fields(HpcConfig)} - set(shown) == UNSAID[kit]
    assert "poll_s" in shown


@pytest.mark.parametrize(("kit", "key"), [(kit, key) for kit in KITS for key in sorted(UNSAID[kit])])
def test_a_key_that_a_kit_does_not_show_is_refused(kit: str, key: str) -> None:
    config = replace(HpcConfig(scheduler=kit), **{key: "gpus-per-node"})

    with pytest.raises(RecipeError, match=key):
        render(JobPlan("job", Path("/shared"), config, {}, "python"))


@pytest.mark.parametrize("kit", KITS)
def test_a_kits_states_are_those_of_the_dialect(kit: str) -> None:
    rows = re.findall(
        r"^\| `([A-Z]+)` \| ([A-Z_ ]+)(?:, [^|]*)?\|$",
        (REPO / kit / "README.md").read_text(),
        flags=re.MULTILINE,
    )

    assert {word: ours for ours, words in rows for word in words.split()} == STATES[kit]


@dataclass(frozen=True)
class HandRun:
    """How a kit's wrapper is handed in, and what its job is told by.

    Args:
        prefixes: of the scheduler's own variables.
        own: those that a job of ours has of its own.
        writes_its_end: whether there is time to see the sites' jobs end before its own is killed.
    """

    kit: str
    wrapper: str
    job_id: str
    prefixes: tuple[str, ...]
    own: tuple[str, ...] = ()
    writes_its_end: bool = True


HAND_RUN = [
    HandRun("slurm", "site.sbatch", "SLURM_JOB_ID", ("SBATCH_", "SRUN_"), ("SRUN_CPUS_PER_TASK",)),
    HandRun("pbs", "site.pbs", "PBS_JOBID", ("SLURM_",), writes_its_end=False),
    HandRun("lsf", "site.lsf", "LSB_JOBID", ("SLURM_",)),
]


@pytest.fixture(params=HAND_RUN, ids=lambda how: how.kit)
def how(request: pytest.FixtureRequest) -> HandRun:
    chosen: HandRun = request.param
    return chosen


@pytest.fixture
def cluster(how: HandRun) -> Iterator[FakeCluster]:
    with FakeCluster(how.kit, nodes=3, mem_mb=8000, kill_wait_s=60) as up:
        yield up


def submit(cluster: FakeCluster, how: HandRun, folder: Path, recipe: str, options: str = "") -> str:
    """Hand in the wrapper as its first lines say, with its two lines changed; give the job's id."""
    (folder / "looking.py").write_text(recipe)
    text = (REPO / how.kit / how.wrapper).read_text()
    here = f"export PATH={Path(sys.executable).parent}:$PATH"
    changed = text.replace("# source /shared/venv/bin/activate", here)
    assert changed != text
    (folder / how.wrapper).write_text(changed)
    environ = {**os.environ, **cluster.env, "TMPDIR": "/tmp", "RECIPE": "looking.py", "OPTIONS": options}
    argv = {
        "slurm": ["sbatch", "--parsable", how.wrapper, "looking.py", *options.split()],
        "pbs": ["qsub", "-v", f"RECIPE=looking.py,OPTIONS={options}", how.wrapper],
        "lsf": ["bsub"],
    }[how.kit]
    with (folder / how.wrapper).open() as script:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=environ,
            stdin=script if how.kit == "lsf" else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    [job_id] = re.findall(r"^\d+\S*|(?<=<)\d+(?=>)", done.stdout)
    return str(job_id)


def state(cluster: FakeCluster, how: HandRun, *job_ids: str) -> list[str]:
    found = make_executor(how.kit, {**os.environ, **cluster.env}).poll(job_ids)
    return [found[job_id].state for job_id in job_ids if job_id in found]


def test_a_run_from_inside_a_job_leaks_nothing_of_that_job(
    tmp_path: Path, how: HandRun, cluster: FakeCluster
) -> None:
    outer = submit(cluster, how, tmp_path, RECIPE, "--json")
    wait_for(lambda: state(cluster, how, outer) not in ([], ["PENDING"], ["RUNNING"]))
    log = (tmp_path / f"fox-relay-{outer.partition('.')[0]}.log").read_text()

    assert state(cluster, how, outer) == ["DONE"], log
    told = json.loads(log.splitlines()[-1])
    assert told["state"] == "DONE"
    server = told["result"]["server"]
    assert server[how.job_id] == outer
    for site in ("site-1", "site-2"):
        seen = told["result"][site]
        assert seen[how.job_id] == told["sites"][site]["job_id"] != outer
        assert seen.get("TMPDIR") != server.get("TMPDIR", "/tmp")
        assert "SLURM_MEM_PER_NODE" not in seen
        leaked = {name: value for name, value in seen.items() if outer in value or "fox-relay" in value}
        assert leaked == {}
        assert [name for name in seen if name.startswith(how.prefixes)] == list(how.own)


def test_a_run_whose_own_job_is_ended_cancels_its_sites(
    tmp_path: Path, how: HandRun, cluster: FakeCluster
) -> None:
    """The signal that a scheduler ends a job with reaches fox-hpc itself, and nothing is left."""
    waiting = "import time\n        while not fox.is_aborted: time.sleep(0.02)\n        return {"
    outer = submit(cluster, how, tmp_path, RECIPE.replace("return {", waiting))
    wait_for(lambda: (tmp_path / "fox_runs").exists() and list((tmp_path / "fox_runs").iterdir()))
    [folder] = (tmp_path / "fox_runs").iterdir()

    def sites() -> list[str]:
        record = load_record(folder)
        return [site.job_id for site in record.sites.values() if site.job_id]

    wait_for(lambda: (folder / "status.json").exists() and len(sites()) == 2)
    wait_for(lambda: state(cluster, how, *sites()) == ["RUNNING", "RUNNING"])
    environ = {**os.environ, **cluster.env}
    end = {
        "slurm": ["scancel", "--signal=TERM", "--batch"],
        "pbs": ["qdel"],
        "lsf": ["bkill"],
    }[how.kit]
    subprocess.run([*end, outer], env=environ, capture_output=True, timeout=60, check=True)
    wait_for(lambda: state(cluster, how, *sites()) == ["CANCELLED", "CANCELLED"])
    wait_for(lambda: state(cluster, how, outer)[0] not in ("PENDING", "RUNNING"))

    assert load_record(folder).state == "CANCELLED" or not how.writes_its_end
