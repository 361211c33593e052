"""`fox-hpc submit`, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fox_hpc.record import load_record

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


def wait_for_run(workspace: Path, state: str = "RUNNING") -> Path:
    """Wait until a run of that state is in the workspace, and give its folder."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for file in workspace.glob("*/status.json"):
            if load_record(file.parent).state == state:
                return file.parent
        time.sleep(0.02)
    raise AssertionError(f"no run became {state}")


def test_a_run_ends_with_its_table_and_result(fox: Fox, recipe: Path) -> None:
    done = fox("submit", recipe, "--env", "sim")

    assert (done.returncode, done.stderr) == (0, "")
    assert "round 3/3" in done.stdout
    assert "site-1 loss" in done.stdout
    assert "total      12" in done.stdout
    assert "tensorboard --logdir" in done.stdout


def test_json_ends_stdout_with_one_object_and_leaves_the_rest_to_stderr(fox: Fox, recipe: Path) -> None:
    done = fox("submit", recipe, "--env", "sim", "--json")
    [line] = done.stdout.splitlines()
    told = json.loads(line)

    assert set(told) == {"run", "state", "workspace", "result", "failures", "sites"}
    assert (told["state"], told["result"], told["failures"]) == ("DONE", {"rounds": 3, "total": 12}, {})
    assert set(told["sites"]["site-1"]) == {"scheduler", "job_id", "attempts", "state"}
    assert "the algorithm says hello" in done.stderr


def test_the_recipes_own_env_is_taken_when_no_option_names_one(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text() + "from fox_hpc import SimEnv\nenv = SimEnv(3, workspace='own')\n")
    done = fox("submit", recipe, "--json")

    assert json.loads(done.stdout)["sites"].keys() == {"site-1", "site-2", "site-3"}
    assert "/own/doubling-" in json.loads(done.stdout)["workspace"]


def test_a_refused_job_is_told_in_the_schedulers_words_with_the_line_that_they_are_about(
    fox: Fox, recipe: Path
) -> None:
    asked = 'tracking_type="tensorboard"'
    recipe.write_text(recipe.read_text().replace(asked, 'hpc_config={"queue": "nosuch"}'))
    done = fox("submit", recipe, "--env", "hpc", "--scheduler", "fake-pbs")
    lines = done.stderr.splitlines()

    assert done.returncode == 3
    assert lines[0] == "fox-hpc: qsub did not take the job: qsub: Unknown queue"
    assert lines[1].startswith("It is about this line of ")
    assert lines[2].strip() == "#PBS -q nosuch"


def test_sites_and_workspace_can_be_chosen(fox: Fox, recipe: Path, tmp_path: Path) -> None:
    done = fox("submit", recipe, "--env", "sim", "--sites", "4", "--workspace", "elsewhere", "--json")
    told = json.loads(done.stdout)

    assert len(told["sites"]) == 4
    assert Path(told["workspace"]).parent == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "defines no recipe: recipe = FoxRecipe(…) is right"),
        ("recipe = 3", "defines a recipe that is a int, not a FoxRecipe"),
        ("import sys; sys.exit(3)", "called sys.exit(3) while it was loaded"),
        (
            "from fox_hpc import FoxRecipe\nrecipe = FoxRecipe('x', colour=1)",
            "bad.py:2: FoxRecipe has no",
        ),
        ("import no_such_module_here", "could not be loaded: ModuleNotFoundError"),
        ("def f(:", "could not be loaded: SyntaxError"),
    ],
)
def test_a_bad_recipe_file_is_answered_with_one_sentence(
    fox: Fox, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "bad.py").write_text(text)
    done = fox("submit", "bad.py", "--env", "sim")

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]
    assert "fox_hpc/" not in done.stderr


def test_a_recipe_under_another_name_is_found(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("\nrecipe = ", "\nmine = "))
    done = fox("submit", recipe, "--env", "sim")

    assert done.returncode == 2
    assert "but there is mine: recipe = mine would be right" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.py"], "there is no recipe file nowhere.py"),
        (["--colour"], "No such option"),
        ([], "Missing argument 'RECIPE'"),
        (["doubling.py", "--env", "sim", "--scheduler", "slurm"], "--scheduler slurm is for --env hpc"),
        (["doubling.py", "--env", "cloud"], "'cloud' is not one of 'sim', 'poc', 'hpc'"),
        (["doubling.py", "--env", "sim", "--sites", "1"], "min_clients=2, but the environment has 1 sites"),
    ],
)
def test_wrong_usage_is_answered_with_one_line(
    fox: Fox, recipe: Path, words: list[str], sentence: str
) -> None:
    done = fox("submit", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert sentence in done.stderr


def test_a_workspace_that_cannot_hold_runs_has_its_exit_code(fox: Fox, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = fox("submit", recipe, "--env", "sim", "--workspace", "file")

    assert done.returncode == 4
    assert done.stderr.startswith("fox-hpc: ")


def test_an_algorithm_that_raises_shows_the_users_traceback(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("total = 0", "raise OSError('disk of mine')"))
    done = fox("submit", recipe, "--env", "sim")

    assert done.returncode == 1
    assert 'doubling.py", line 8, in add_up' in done.stderr
    assert "fox_hpc/" not in done.stderr
    assert done.stderr.splitlines()[-1] == "fox-hpc: the algorithm raised OSError: disk of mine"


def test_a_site_that_raises_shows_the_sites_traceback(fox: Fox, recipe: Path) -> None:
    raises = 'return [][number] if fox.site_name == "site-1" else number'
    recipe.write_text(recipe.read_text().replace("return 2 * number", raises))
    done = fox("submit", recipe, "--env", "sim", "--json")

    assert done.returncode == 1
    assert 'doubling.py", line 21, in double' in done.stderr
    assert json.loads(done.stdout)["state"] == "FAILED"
    assert json.loads(done.stdout)["failures"].keys() == {"site-1"}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_run(
    start: Start, endless: Path, tmp_path: Path, signum: int, code: int
) -> None:
    process = start("submit", endless, "--env", "sim", "--json")
    folder = wait_for_run(tmp_path / "fox_runs")
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert json.loads(out)["state"] == load_record(folder).state == "CANCELLED"
    assert "cancelling the run and its jobs" in err
    assert "Traceback" not in err


def test_a_terminal_sees_a_table_that_is_drawn_again(endless: Path, tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    argv = [sys.executable, "-m", "fox_hpc", "submit", str(endless), "--env", "sim"]
    with subprocess.Popen(argv, cwd=tmp_path, stdin=inner, stdout=inner, stderr=inner) as process:
        os.close(inner)
        wait_for_run(tmp_path / "fox_runs")
        process.send_signal(signal.SIGINT)
        seen = b""
        with contextlib.suppress(OSError):  # Linux's way to say that nobody holds the other end
            while part := os.read(outer, 65536):
                seen += part
    os.close(outer)

    assert process.returncode == 130
    assert seen.count(b"scheduler") >= 2
    assert b"cancelling the run and its jobs" in seen


def test_a_signal_while_the_recipe_loads_ends_silently(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('loading').touch()\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    pass\n"
    )
    process = start("submit", "slow.py", "--env", "sim")
    deadline = time.monotonic() + 30
    while not (tmp_path / "loading").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")


def test_detach_returns_while_the_run_goes_on(fox: Fox, endless: Path, tmp_path: Path) -> None:
    done = fox("submit", endless, "--env", "sim", "--detach")
    folder = wait_for_run(tmp_path / "fox_runs")
    cancelled = fox("cancel", folder.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"folder  {folder}" in done.stdout
    assert (cancelled.returncode, load_record(folder).state) == (0, "CANCELLED")
    assert '"state":"CANCELLED"' in (folder / "submit.log").read_text()


def test_detach_shows_why_there_is_no_run(fox: Fox, tmp_path: Path) -> None:
    done = fox("submit", "nowhere.py", "--detach")

    assert (done.returncode, done.stderr) == (2, "fox-hpc: there is no recipe file nowhere.py\n")
    assert list((tmp_path / "fox_runs").iterdir()) == []


def test_detach_shows_the_error_of_a_run_that_fails_at_once(fox: Fox, recipe: Path) -> None:
    begin = "@fox.init\n    def begin(self): raise OSError('disk of mine')\n\n    @fox.algo"
    recipe.write_text(recipe.read_text().replace("@fox.algo", begin))
    done = fox("submit", recipe, "--env", "sim", "--detach")

    assert done.returncode == 1
    assert "the algorithm raised OSError: disk of mine" in done.stderr


def test_a_recipe_file_can_be_imported_by_name_while_it_runs(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text() + "import sys\nassert sys.modules['doubling'].Server is Server\n")

    assert fox("submit", recipe, "--env", "sim").returncode == 0


def test_a_recipe_with_the_name_of_a_loaded_module_is_refused(fox: Fox, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("recipe = 1")
    done = fox("submit", "json.py", "--env", "sim")

    assert done.returncode == 2
    assert "has the name of the module 'json': rename it" in done.stderr
