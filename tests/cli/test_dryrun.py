"""`--dry-run`: what would be asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fox_hpc.cli.dryrun import hours

Fox = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("time_limit", "expected"),
    [("90", 1.5), ("1:30:00", 1.5), ("2-0", 48.0), ("1-12:30", 36.5), ("1-00:00:36", 24.01)],
)
def test_a_time_limit_in_hours(time_limit: str, expected: float) -> None:
    assert hours(time_limit) == pytest.approx(expected)


def test_a_dry_run_prints_the_jobs_and_what_they_cost(fox: Fox, recipe: Path, tmp_path: Path) -> None:
    text = recipe.read_text().replace(
        "tracking_type=", 'hpc_config={"time_limit": "1:30:00", "partition": "gold"}, tracking_type='
    )
    recipe.write_text(text)
    done = fox("submit", recipe, "--dry-run", "--sites", "3", "--env", "hpc")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("#SBATCH --partition=gold") == 3
    assert done.stdout.splitlines()[-1] == "3 jobs, 3 nodes, at most 4.5 node hours"
    assert not (tmp_path / "fox_runs").exists()


def test_a_dry_run_without_jobs_says_so(fox: Fox, recipe: Path) -> None:
    done = fox("submit", recipe, "--dry-run", "--env", "sim")

    assert done.returncode == 0
    assert done.stdout == "doubling: no batch job, but 2 sites as threads of this process: site-1, site-2\n"
