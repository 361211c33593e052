"""`fox-hpc keys`, as a user types it."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from fox_hpc.wire.key_folder import load_allowed, load_kit

Fox = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_site_is_let_in_shown_revoked_and_given_another_key(fox: Fox, tmp_path: Path) -> None:
    assert fox("keys", "server", "k").returncode == 0
    made = fox("keys", "site", "k", "site-1", "--out", "one.kit", "--server-url", "tcp://server:8555")
    first = load_kit(tmp_path / "one.kit")

    assert made.stdout == "one.kit is the kit of site-1: whoever has it joins as site-1\n"
    assert first.secret not in made.stdout
    assert stat.S_IMODE((tmp_path / "one.kit").stat().st_mode) == 0o600
    assert first.server_urls == ("tcp://server:8555",)
    assert fox("keys", "revoke", "k", "site-1").returncode == 0
    listed = fox("keys", "list", "k")
    assert listed.stdout.splitlines()[1].split()[:2] == ["site-1", f"{first.public[:8]}…"]
    assert "no, revoked" in listed.stdout
    assert fox("keys", "rotate", "k", "site-1", "--out", "one.kit").returncode == 0
    second = load_kit(tmp_path / "one.kit")
    shown = json.loads(fox("keys", "list", "k", "--json").stdout)
    assert shown["site-1"]["key"] == second.public != first.public
    assert shown["site-1"]["revoked"] is None
    assert load_allowed(tmp_path / "k") == {"site-1": second.public}


def test_a_kit_is_not_written_over_and_its_site_not_listed(fox: Fox, tmp_path: Path) -> None:
    fox("keys", "server", "k")
    (tmp_path / "site-1.kit").write_text("mine")
    done = fox("keys", "site", "k", "site-1")

    assert (done.returncode, (tmp_path / "site-1.kit").read_text()) == (2, "mine")
    assert "site-1.kit is there already: --out names another file" in done.stderr
    assert load_allowed(tmp_path / "k") == {}


def test_a_servers_new_key_asks_for_new_kits(fox: Fox) -> None:
    fox("keys", "server", "k")
    done = fox("keys", "rotate", "k", "server")

    assert "give every site a kit by fox-hpc keys rotate k SITE" in done.stdout


def test_a_folder_that_others_can_enter_is_refused(fox: Fox, tmp_path: Path) -> None:
    fox("keys", "server", "k")
    (tmp_path / "k").chmod(0o755)
    done = fox("keys", "list", "k")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("fox-hpc: k has mode 0755; ")
