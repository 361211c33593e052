"""`render` and `--profile`: what would be handed to a scheduler, on a machine that has none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Fox = Callable[..., "subprocess.CompletedProcess[str]"]

PROFILE = '[job]\nscheduler = "slurm"\npartition = "gold"\naccount = "proj-42"\ngpus_per_node = 2\n'


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(PROFILE)
    return file


def test_render_prints_each_sites_command_and_script(fox: Fox, recipe: Path, tmp_path: Path) -> None:
    done = fox("render", recipe, env={"PATH": "/nowhere"})

    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("# site")] == [
        "# site-1",
        "# site-2",
    ]
    assert done.stdout.count("sbatch --parsable ") == 2
    assert "\n\n#!/bin/bash\n#SBATCH --job-name=doubling-RUN-site-1-1\n" in done.stdout
    assert not (tmp_path / "fox_runs").exists()


def test_render_of_one_site_is_that_site_only(fox: Fox, recipe: Path) -> None:
    done = fox("render", recipe, "--sites", "3", "--site", "site-3", "--json")
    told = json.loads(done.stdout)

    assert (told["site"], told["command"][:2]) == ("site-3", ["sbatch", "--parsable"])
    assert told["script"].startswith("#!/bin/bash\n")
    assert told["command"][2] == f"{told['folder']}/submission.sh"


def test_render_of_an_unknown_site_names_the_right_ones(fox: Fox, recipe: Path) -> None:
    done = fox("render", recipe, "--site", "site-9")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fox-hpc: doubling has no site 'site-9': site-1, site-2 are right\n"


def test_render_takes_the_files_own_batch_env(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text() + "from fox_hpc import HpcEnv\nenv = HpcEnv(3, workspace='/own')\n")
    lines = fox("render", recipe, "--json").stdout.splitlines()

    assert [json.loads(line)["site"] for line in lines] == ["site-1", "site-2", "site-3"]
    assert json.loads(lines[0])["folder"].startswith("/own/doubling-RUN/")


def test_a_profile_holds_where_the_recipe_says_nothing(fox: Fox, recipe: Path, profile: Path) -> None:
    recipe.write_text(
        recipe.read_text().replace("tracking_type=", 'hpc_config={"account": "mine"}, tracking_type=')
    )
    done = fox("render", recipe, "--profile", profile, "--site", "site-1")

    assert (done.returncode, done.stderr) == (0, "")
    for line in ("--partition=gold", "--account=mine", "--gres=gpu:2"):
        assert f"#SBATCH {line}\n" in done.stdout


def test_a_profile_counts_in_a_dry_run(fox: Fox, recipe: Path, profile: Path) -> None:
    done = fox("submit", recipe, "--dry-run", "--profile", profile)

    assert done.returncode == 0
    assert done.stdout.count("#SBATCH --partition=gold") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--profile", "nowhere.toml"], "the profile nowhere.toml cannot be read: No such file"),
        (["--profile", "site.toml", "--env", "sim"], "--profile site.toml is for --env hpc"),
        (["--profile", "bad.toml"], "bad.toml [job] has no key 'queu'; did you mean 'queue'?"),
    ],
)
def test_a_wrong_profile_is_answered_with_one_line(
    fox: Fox, recipe: Path, profile: Path, words: list[str], sentence: str
) -> None:
    profile.with_name("bad.toml").write_text('[job]\nqueu = "gold"\n')
    done = fox("submit", recipe, "--dry-run", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert sentence in done.stderr
