"""Keys lie where nobody else can read them, or are not used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import rich.console

from fox_hpc.errors import NotAllowed, WorkspaceError
from fox_hpc.wire.keys import load_keys, load_public, make_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    make_keys(made, ["server", "site-1"])
    return made


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_keys_are_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, ["site-1"])

    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "site-1.json": 0o600,
        "public.json": 0o600,
    }
    assert load_keys(folder, "site-1").owner == "site-1"


def test_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(0o777)
    folder.chmod(0o777)
    make_keys(folder, ["a"])

    assert mode(folder) == 0o700


def test_public_keys_are_those_of_the_pairs(folder: Path) -> None:
    assert load_public(folder) == {owner: load_keys(folder, owner).public for owner in ("server", "site-1")}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660])
def test_file_that_others_can_read_is_not_used(folder: Path, bits: int) -> None:
    (folder / "site-1.json").chmod(bits)
    with pytest.raises(NotAllowed, match=rf"has mode {bits:04o}.*chmod 600 .*site-1\.json"):
        load_keys(folder, "site-1")


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o755])
def test_folder_that_others_can_enter_is_not_used(folder: Path, bits: int) -> None:
    folder.chmod(bits)
    for load in (lambda: load_keys(folder, "site-1"), lambda: load_public(folder)):
        with pytest.raises(NotAllowed, match=rf"has mode {bits:04o}.*chmod 700 "):
            load()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_not_used(folder: Path) -> None:
    os.chown(folder / "site-1.json", 12345, -1)
    with pytest.raises(NotAllowed, match="belongs to user 12345"):
        load_keys(folder, "site-1")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b'"x"', b"[" * 100_000, b'{"owner":"site-1"}',
        b'{"owner":"site-1","public":"x","secret":"y"}', b'{"owner":"site-1","public":1,"secret":2}',
        b'{"owner":"site-1","public":"' + b"\xc3\xa9" * 40 + b'","secret":"y"}',
    ],
    ids=lambda content: repr(content[:40]),
)  # fmt: skip
def test_file_that_holds_no_keys_is_told_in_one_sentence(folder: Path, content: bytes) -> None:
    for name, load in (
        ("site-1.json", lambda: load_keys(folder, "site-1")),
        ("public.json", lambda: load_public(folder)),
    ):
        (folder / name).write_bytes(content)
        with pytest.raises(WorkspaceError, match=f"{name} holds no ") as caught:
            load()
        assert "\n" not in str(caught.value)


def test_keys_of_another_owner_are_not_taken(folder: Path) -> None:
    (folder / "server.json").replace(folder / "site-1.json")
    with pytest.raises(WorkspaceError, match="holds no keys of site-1"):
        load_keys(folder, "site-1")


def test_file_or_folder_that_is_missing_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no keys at .*site-9\.json: No such file"):
        load_keys(folder, "site-9")
    with pytest.raises(WorkspaceError, match="No such file"):
        load_public(tmp_path / "nowhere")
    (folder / "site-1.json").unlink()
    (folder / "site-1.json").mkdir(0o700)
    with pytest.raises(WorkspaceError, match="Is a directory"):
        load_keys(folder, "site-1")


@pytest.mark.parametrize("owner", ["", "..", "../x", "a/b", ".hidden", "public"])
def test_owner_that_is_no_file_name_is_refused(folder: Path, owner: str) -> None:
    for act in (lambda: make_keys(folder, [owner]), lambda: load_keys(folder, owner)):
        with pytest.raises(WorkspaceError, match="cannot be the owner of a key"):
            act()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be written to"):
        make_keys(tmp_path / "file" / "keys", ["a"])


def test_secret_is_not_shown(folder: Path) -> None:
    keys, shown = load_keys(folder, "site-1"), StringIO()
    rich.console.Console(file=shown, width=200).print(keys, [keys])

    assert keys.secret not in repr(keys) + str(keys) + shown.getvalue()
