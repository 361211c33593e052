"""The manifest: what it lists, and every way in which a folder may no longer be what it was."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fox_hpc import RecipeError
from fox_hpc.export.manifest import MANIFEST, SIGNATURES, check_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    (made / "src").mkdir(parents=True)
    (made / "job.json").write_text("{}\n")
    (made / "src" / "train me.py").write_text("print('train')\n")
    write_manifest(made)
    return made


def test_an_untouched_folder_is_right_with_signatures_caches_and_runs_in_it(folder: Path) -> None:
    for name in (*SIGNATURES, "fox_runs/run-1/status.json", "src/__pycache__/train.cpython-312.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("signed")

    check_manifest(folder)

    assert not (folder / "src" / "__pycache__").exists()


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs coreutils")
def test_sha256sum_reads_the_manifest(folder: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "-c", MANIFEST], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.stdout == "job.json: OK\nsrc/train me.py: OK\n"


def change(folder: Path) -> None:
    (folder / "src" / "train me.py").write_text("print('steal')\n")


def add(folder: Path) -> None:
    (folder / "src" / "numpy.py").write_text("")


def remove(folder: Path) -> None:
    (folder / "job.json").unlink()


def link(folder: Path) -> None:
    (folder / "src" / "more").symlink_to("/etc")


def forget(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def scribble(folder: Path) -> None:
    (folder / MANIFEST).write_text("looks good to me\n")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (change, "src/train me.py was changed after the export"),
        (add, "src/numpy.py is not in MANIFEST.sha256: it was added after the export"),
        (remove, "job.json is missing, but MANIFEST.sha256 lists it"),
        (link, "src/more is a link: an exported folder has plain files only"),
        (forget, "is no exported recipe: MANIFEST.sha256 cannot be read (No such file or directory)"),
        (scribble, "MANIFEST.sha256:1 is no line of a manifest"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_as_it_was_exported_is_named(
    folder: Path, harm: Callable[[Path], None], words: str
) -> None:
    harm(folder)
    with pytest.raises(RecipeError) as caught:
        check_manifest(folder)

    assert words in str(caught.value)
