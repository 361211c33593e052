"""Big payloads that go by way of a folder that server and sites share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk import Server, kill, recipe

from fox_hpc import HpcEnv, RunCancelled, SimEnv, WorkspaceError
from fox_hpc.spec import load_spec


@pytest.mark.parametrize("late", [False, True])
def test_models_go_by_way_of_the_folder_and_leave_nothing_there(tmp_path: Path, late: bool) -> None:
    there, seen = tmp_path / "blobs", []

    def look() -> None:
        [folder] = there.iterdir()
        seen.append((folder.stat().st_mode & 0o777, len(list(folder.iterdir()))))

    server = Server(late=late, meanwhile=look)
    here: dict[str, Any] = recipe(Server(late=False)).execute(SimEnv(2, tmp_path / "sim")).result(60)
    run = recipe(server).execute(HpcEnv(2, "fake-slurm", tmp_path, blob_location=there))
    mean = run.result(60)

    assert all(np.array_equal(mean[name], here[name]) for name in here)
    assert load_spec(run.workspace).blob_location == str(there / run.run_id)
    # Until late answers were read, they and what was asked are there.
    assert seen == [(0o700, 3)] or not late
    assert list(there.iterdir()) == []


def test_what_a_killed_site_has_left_there_ends_with_the_run(tmp_path: Path) -> None:
    there, left = tmp_path / "blobs", []
    server = Server(late=True)
    run = recipe(server).execute(HpcEnv(2, "fake-slurm", tmp_path, blob_location=there))

    def lose() -> None:
        [pid] = run.workspace.glob("sites/site-2/*/pid")
        kill(int(pid.read_text()))
        run.cancel()
        left.extend((there / run.run_id).iterdir())

    server.meanwhile = lose

    with pytest.raises(RunCancelled):
        run.result(60)
    assert left
    assert list(there.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        WorkspaceError, match=r"blob_location .*file/blobs/bulk-\S+ cannot be made: Not a directory"
    ):
        recipe(Server(late=False)).execute(
            HpcEnv(2, "fake-slurm", tmp_path, blob_location=tmp_path / "file" / "blobs")
        )
