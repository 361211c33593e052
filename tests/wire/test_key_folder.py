"""A server's folder of keys, its allow-list, and the kits that come out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fox_hpc.errors import NotAllowed, RecipeError, WorkspaceError
from fox_hpc.wire.key_folder import (
    AllowList,
    Kit,
    add_site,
    load_allowed,
    load_kit,
    load_listed,
    make_server,
    revoke_site,
    rotate_server,
    save_kit,
)
from fox_hpc.wire.keys import load_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A server's folder that lets site-1 in."""
    made = tmp_path / "keys"
    make_server(made)
    add_site(made, "site-1")
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_a_servers_folder_or_a_kit(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_kit(tmp_path / "site-2.kit", add_site(folder, "site-2"))
    finally:
        os.umask(before)

    assert mode(folder) == 0o700
    assert {mode(path) for path in [*folder.iterdir(), tmp_path / "site-2.kit"]} == {0o600}


def test_a_kit_holds_all_that_a_site_needs(folder: Path, tmp_path: Path) -> None:
    kit = add_site(folder, "site-2", ("tcp://server:8555",))
    save_kit(tmp_path / "site-2.kit", kit)

    assert load_kit(tmp_path / "site-2.kit") == kit
    assert (kit.site, kit.server_urls) == ("site-2", ("tcp://server:8555",))
    assert kit.server_key == load_keys(folder, "server").public
    assert load_allowed(folder)["site-2"] == kit.public
    assert kit.secret not in repr(kit) + str(kit.keys)


def test_the_server_keeps_no_secret_of_a_site(folder: Path) -> None:
    secret = add_site(folder, "site-2").secret

    assert not any(secret in path.read_text() for path in folder.iterdir())


def test_a_revoked_site_stays_on_the_list_and_may_not_join(folder: Path) -> None:
    revoke_site(folder, "site-1")

    assert load_allowed(folder) == {}
    assert load_listed(folder)["site-1"].revoked is not None


def test_a_new_key_takes_the_old_ones_place_and_lets_a_revoked_site_in_again(folder: Path) -> None:
    old = load_allowed(folder)["site-1"]
    revoke_site(folder, "site-1")
    kit = add_site(folder, "site-1", again=True)

    assert load_allowed(folder) == {"site-1": kit.public}
    assert kit.public != old


def test_a_servers_new_key_is_another_one(folder: Path) -> None:
    old = load_keys(folder, "server")

    assert rotate_server(folder).public != old.public
    assert load_keys(folder, "server").public != old.public


@pytest.mark.parametrize("site", ["", "a.b", "../x", "server", "relay", "a b", "x" * 64, "-a"])
def test_a_name_that_no_cell_can_have_is_refused(folder: Path, site: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a site's name"):
        add_site(folder, site)


def test_what_cannot_be_done_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="site-1 has a key already: fox-hpc keys rotate"):
        add_site(folder, "site-1")
    with pytest.raises(RecipeError, match="site-9 is not on the list, which has site-1"):
        revoke_site(folder, "site-9")
    with pytest.raises(RecipeError, match="site-9 has no key that could be replaced"):
        add_site(folder, "site-9", again=True)
    with pytest.raises(WorkspaceError, match="holds a server's keys already"):
        make_server(folder)
    with pytest.raises(WorkspaceError, match="is not empty"):
        make_server(tmp_path)
    with pytest.raises(WorkspaceError, match="no keys at"):
        add_site(tmp_path / "nowhere", "site-1")


def test_files_that_others_can_read_are_not_used(folder: Path, tmp_path: Path) -> None:
    kit = tmp_path / "site-2.kit"
    save_kit(kit, add_site(folder, "site-2"))
    kit.chmod(0o640)
    with pytest.raises(NotAllowed, match=r"site-2.kit has mode 0640; .* chmod 600"):
        load_kit(kit)
    (folder / "allowed.json").chmod(0o604)
    with pytest.raises(NotAllowed, match="mode 0604"):
        load_allowed(folder)
    (folder / "allowed.json").chmod(0o600)
    folder.chmod(0o750)
    with pytest.raises(NotAllowed, match="chmod 700"):
        load_allowed(folder)


@pytest.mark.parametrize("text", ["", "{}", '{"site": "site-1"}', "[1]", "\xff"])
def test_a_file_that_is_no_kit_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site-1.kit"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(WorkspaceError):
        load_kit(path)


def test_a_kit_with_a_broken_key_is_refused(tmp_path: Path) -> None:
    save_kit(tmp_path / "k", Kit("site-1", "short", "short", "short"))
    with pytest.raises(WorkspaceError, match="is no kit"):
        load_kit(tmp_path / "k")


def test_the_list_is_read_again_when_it_has_changed(folder: Path) -> None:
    listed = AllowList(folder)
    assert listed.news() is None
    kit = add_site(folder, "site-2")

    assert (listed.news() or {})["site-2"] == kit.public
    assert listed.news() is None
    (folder / "allowed.json").chmod(0o644)
    with pytest.raises(NotAllowed):
        listed.news()
