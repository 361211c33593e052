"""How errors are told, and which exit code they give."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from fox_hpc.cli.report import exit_code, say, user_traceback
from fox_hpc.errors import (
    CodecError,
    GroupError,
    MissingExtra,
    RecipeError,
    RemoteError,
    RunCancelled,
    RunError,
    SiteLost,
    SubmitError,
    WorkspaceError,
)

REFUSED = SiteLost(site="site-1", reason="sbatch: error: invalid partition specified: gold")
DIED = SiteLost(site="site-2", job_id="7", state="FAILED", exit_code=1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecipeError("x"), 2),
        (SubmitError("x"), 3),
        (WorkspaceError("x"), 4),
        (MissingExtra("a", "b", "c"), 5),
        (RunError("x"), 1),
        (CodecError("$.args[0]", "x"), 1),
        (ValueError("x"), 1),
        (RunCancelled("x"), 130),
        (GroupError("f", {"site-1": REFUSED}, answered=0, needed=1), 3),
        (GroupError("f", {"site-1": REFUSED, "site-2": DIED}, answered=0, needed=2), 1),
        (GroupError("f", {}, answered=0, needed=2), 1),
    ],
)
def test_an_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_a_fox_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(WorkspaceError("there are no runs here"))

    assert capsys.readouterr().err == "fox-hpc: there are no runs here\n"


def test_a_users_error_comes_with_the_users_frames_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "algorithm_of_mine.py").write_text(
        textwrap.dedent("""
            from fox_hpc.cli.summary import pivot
            def go():
                return pivot([1])
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import algorithm_of_mine  # type: ignore[import-not-found]

    with pytest.raises(TypeError) as caught:
        algorithm_of_mine.go()
    say(caught.value)
    told = capsys.readouterr().err
    sys.modules.pop("algorithm_of_mine")

    assert 'algorithm_of_mine.py", line 4, in go' in told
    assert "summary.py" not in told
    assert "fox-hpc: the algorithm raised TypeError: " in told.splitlines()[-1]


def test_an_error_without_a_users_frame_has_no_traceback() -> None:
    assert user_traceback(ValueError("raised nowhere")) == ""


def test_a_remote_error_comes_with_the_sites_frames_without_ours(capsys: pytest.CaptureFixture[str]) -> None:
    remote = textwrap.dedent("""\
        Traceback (most recent call last):
          File "/opt/venv/fox_hpc/api/app.py", line 10, in invoke
            return self.f()
                   ^^^^^^^^
          File "/home/u/train.py", line 3, in train
            raise ValueError("no")
        ValueError: no
    """)
    error = RemoteError("ValueError", "no", traceback=remote, rank=3, site="site-2", func="train")
    twin = RemoteError("ValueError", "no", traceback=remote, rank=3, site="site-1", func="train")
    say(GroupError("train", {"site-1": twin, "site-2": error}, answered=0, needed=2))
    told = capsys.readouterr().err

    assert told.count("/home/u/train.py") == 1
    assert "app.py" not in told
    assert "^^^^" not in told
    assert "train() at site-2 rank 3 raised ValueError: no" in told


def test_the_cause_of_a_fox_error_is_shown_when_it_is_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1 / 0", "/home/u/recipe.py", "exec"), {})
    error = RecipeError("it could not be loaded")
    error.__cause__ = caught.value
    say(error)
    told = capsys.readouterr().err

    assert 'File "/home/u/recipe.py", line 1' in told
    assert told.splitlines()[-2:] == [
        "ZeroDivisionError: division by zero",
        "fox-hpc: it could not be loaded",
    ]
