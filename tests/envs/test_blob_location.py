"""Big payloads that go by way of a folder that server and sites share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk import Server, recipe

from fox_hpc import HpcEnv, SimEnv, WorkspaceError
from fox_hpc.spec import load_spec


@pytest.mark.parametrize("late", [False, True])
def test_models_go_by_way_of_the_folder_and_leave_nothing_there(tmp_path: Path, late: bool) -> None:
    there, seen = tmp_path / "blobs", []
    server = Server(late=late, meanwhile=lambda: seen.append(len(list(there.iterdir()))))
    here: dict[str, Any] = recipe(Server(late=False)).execute(SimEnv(2, tmp_path / "sim")).result(60)
    run = recipe(server).execute(HpcEnv(2, "fake-slurm", tmp_path, blob_location=there))
    mean = run.result(60)

    assert all(np.array_equal(mean[name], here[name]) for name in here)
    assert load_spec(run.workspace).blob_location == str(there)
    # Until late answers were read, they and what was asked are there.
    assert seen == [3] or not late
    assert list(there.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"blob_location .*file/blobs cannot be made: Not a directory"):
        recipe(Server(late=False)).execute(
            HpcEnv(2, "fake-slurm", tmp_path, blob_location=tmp_path / "file" / "blobs")
        )
