"""`attach`: a run seen from elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fox_hpc.cli.ending import Ending, exit_code_of, save_ending
from fox_hpc.record import RunRecord, SiteRecord, load_record

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


def gated(recipe: Path) -> Path:
    """Make a run wait, before its first round, until a file `go` is there."""
    text = recipe.read_text().replace(
        "total = 0",
        "total = 0\n        import time\n"
        "        while not fox.is_aborted and not (fox.workspace.parent / 'go').exists(): time.sleep(0.02)",
    )
    recipe.write_text(text)
    return recipe


def test_attach_follows_a_detached_run_to_its_table_and_exit_code(
    fox: Fox, start: Start, recipe: Path, tmp_path: Path
) -> None:
    fox("submit", gated(recipe), "--env", "poc", "--detach")
    [folder] = [file.parent for file in (tmp_path / "fox_runs").glob("*/status.json")]
    process = start("attach", "doubling")
    assert process.stdout is not None
    first = process.stdout.readline()
    (tmp_path / "fox_runs" / "go").touch()
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert first == f"run {folder.name} in {folder}\n"
    for words in ("round 3/3", "site-1 loss", "total      12"):
        assert words in out


def test_ctrl_c_detaches_and_leaves_the_run_alone(
    fox: Fox, start: Start, endless: Path, tmp_path: Path
) -> None:
    fox("submit", endless, "--env", "sim", "--detach")
    process = start("attach")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    [folder] = [file.parent for file in (tmp_path / "fox_runs").glob("*/status.json")]
    state = load_record(folder).state
    fox("cancel", folder)

    assert (process.returncode, err, state) == (0, "", "RUNNING")
    assert out.splitlines()[-1].startswith(f"detached: {folder.name} goes on; fox-hpc attach ")


def test_attach_ends_as_its_run_does(fox: Fox, start: Start, endless: Path) -> None:
    fox("submit", endless, "--env", "sim", "--detach")
    process = start("attach", "--json")
    assert process.stderr is not None
    process.stderr.readline()
    fox("cancel", "endless")
    out, err = process.communicate(timeout=30)

    # The run's own command was ended by TERM, which `cancel` sends.
    assert process.returncode == 143
    assert json.loads(out)["state"] == "CANCELLED"
    assert "RunCancelled" in err


def test_attach_of_a_failed_run_says_why(fox: Fox, recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("total = 0", "raise OSError('disk of mine')"))
    fox("submit", recipe, "--env", "sim")
    done = fox("attach")

    assert done.returncode == 1
    assert "disk of mine" in done.stderr


def test_attach_says_when_the_runs_process_is_gone(fox: Fox, endless: Path, tmp_path: Path) -> None:
    fox("submit", endless, "--env", "sim", "--detach")
    [folder] = [file.parent for file in (tmp_path / "fox_runs").glob("*/status.json")]
    pid = load_record(folder).pid
    subprocess.run(["kill", "-9", str(pid)], check=True)
    done = fox("attach")

    assert done.returncode == 1
    assert f"its process {pid} is gone" in done.stderr


@pytest.mark.parametrize(
    ("state", "sites", "code"),
    [
        ("DONE", {}, 0),
        ("CANCELLED", {}, 130),
        ("FAILED", {"site-1": SiteRecord(job_id="7", state="FAILED")}, 1),
        ("FAILED", {"site-1": SiteRecord(state="FAILED")}, 3),
    ],
)
def test_an_exit_code_is_told_from_a_record(state: str, sites: dict[str, SiteRecord], code: int) -> None:
    assert exit_code_of(RunRecord("run", "job", "/nowhere", "hpc", state, sites=sites)) == code


def test_curves_with_nan_come_back(tmp_path: Path) -> None:
    import msgspec

    save_ending(tmp_path, Ending(0, [("server", "loss", 1, float("nan"))]))
    [(_, _, _, value)] = msgspec.json.decode((tmp_path / "ending.json").read_bytes(), type=Ending).scalars

    assert value != value
