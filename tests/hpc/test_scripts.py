"""The scripts, held against golden files.

After a change that is meant, `FOX_TEST_ACCEPT=1 pytest tests/hpc/test_scripts.py` writes them anew; look at
the diff before you commit it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.errors import RecipeError
from fox_hpc.hpc.executor import JobPlan, render
from fox_hpc.hpc.resources import HpcConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "scripts"
EXPORTS = {"FOX_SITE_NAME": "site-1", "FOX_PARENT_URL": "tcp://10.0.0.1:4711 tcp://login:4711"}
CASES: dict[str, dict[str, Any]] = {
    "slurm-least": {},
    "slurm-all": {
        "scheduler": "slurm",
        "partition": "gpu",
        "account": "proj-42",
        "qos": "high",
        "nodes_per_client": 2,
        "gpus_per_node": 8,
        "cpus_per_node": 32,
        "mem": "64G",
        "time_limit": "4:00:00",
        "constraint": "a100&(ib|opa)",
        "exclusive": True,
        "directives": ["--reservation=class", "#SBATCH --mem=0"],
        "prologue": ["module purge", "module load cuda/12.4"],
        "python": "singularity exec /sw/train.sif python",
    },
}


def plan(case: str = "slurm-least", **changes: Any) -> JobPlan:
    values = {
        "name": "fedavg-site-1",
        "folder": Path("/home/ann/fox_runs/r1/sites/site-1/attempt-1"),
        "config": HpcConfig.from_mapping(CASES[case]),
        "exports": EXPORTS,
        "python": "/home/ann/my envs/bin/python",
    }
    return JobPlan(**{**values, **changes})


@pytest.mark.parametrize("case", CASES)
def test_a_script_is_what_its_golden_file_says(case: str) -> None:
    golden = GOLDEN / f"{case}.sh"
    script = render(plan(case)).script
    if os.environ.get("FOX_TEST_ACCEPT"):
        golden.write_text(script)

    assert script == golden.read_text()


def test_a_submission_shows_its_command_and_its_script() -> None:
    submission = render(plan())

    assert str(submission).startswith(f"sbatch --parsable {submission.plan.script_file}\n\n#!/bin/bash\n")
    assert str(submission).endswith(submission.script)


def test_nothing_is_exported_on_a_command_line() -> None:
    submission = render(plan("slurm-all"))

    assert not any(word.startswith("--export") for word in submission.command)
    assert "--export" not in submission.script
    assert "wckey" not in submission.script


@pytest.mark.parametrize(
    "value", ["a,b", "it's", '"quoted"', "$HOME `id` \\", "two\nlines", "  blanks  ", ""]
)
def test_an_export_arrives_as_it_was_given(value: str) -> None:
    lines = render(plan(exports={"FOX_X": value})).script.partition("submitted=")[0]

    shell = subprocess.run(
        ["bash", "-c", lines + 'printf %s "$FOX_X"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == value


def test_a_folder_may_hold_blanks_and_quotes() -> None:
    script = render(plan(folder=Path("/data/ann's runs/r1"))).script

    assert """#SBATCH --output='/data/ann'"'"'s runs/r1/%j_0_log.out'""" in script


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folder": Path("/data/100%j")}, "without '%'"),
        ({"folder": Path("runs/r1")}, "an absolute path"),
        ({"name": "two\nlines"}, "on one line"),
        ({"exports": {"FOX X": "1"}}, "cannot be the name"),
    ],
)
def test_a_plan_that_cannot_stand_in_a_script_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        render(plan(**changes))


def test_log_files_are_where_the_script_sends_them() -> None:
    out, err = plan().log_files("4711")
    script = render(plan()).script

    assert f"--output={out}".replace("4711", "%j") in script
    assert f"--error={err}".replace("4711", "%j") in script
