"""What `fox-hpc serve` and `fox-hpc join` refuse: strangers, and what cannot be right."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from intruder import KINDS, TIMES, Intruder
from serving import STEPWISE, Fox, Place

from fox_hpc import FoxRecipe, HpcEnv
from fox_hpc import fox as fox_api
from fox_hpc.cli.joining import urls_of
from fox_hpc.envs.serve import ServeEnv, read_bind
from fox_hpc.errors import RecipeError, SchedulerError
from fox_hpc.wire import key_folder


def test_who_may_not_is_refused_told_once_and_counted_and_the_run_goes_on(place: Place, fox: Fox) -> None:
    server = place.serve()
    ready = server.wait_for("ready")
    site = place.join("site-a", ready["urls"][0])
    place.wait_for_call("site-a")
    kit = key_folder.load_kit(place.folder / "site-b.kit")
    with Intruder(ready["urls"][0], ready["run"], kit) as intruder:
        intruder.come_without_a_listed_key()
        intruder.come_without_curve()
        intruder.come_as_another()
        intruder.join_and_lie()
    assert fox("keys", "revoke", place.keys, "site-b").returncode == 0
    server.wait_for("site", site="site-b", state="LOST")
    place.go()
    ended = server.wait_for("ended")

    assert (server.end(), site.end(), ended["state"]) == (0, 0, "DONE")
    assert ended["result"][1][0] == {"site-a": "site-a"}
    # Who hangs up in the midst of a handshake counts too, and an intruder may.
    assert ended["refused"].pop("no handshake") >= TIMES
    told = {kind: TIMES for kind in KINDS if kind != "no handshake"}
    assert ended["refused"] == {**told, "another version": 1}
    # Three keys that nobody has listed are three strangers; all else is told once.
    assert server.logged("refused: ") == len(KINDS) + TIMES


def test_a_site_that_this_run_leaves_out_is_told_so_in_plain_words(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-b")
    url = server.wait_for("ready")["urls"][0]
    site = place.join("site-a", url)

    assert site.end() == 4
    assert "site-a.app does not serve site-a in this run, which has site-b" in "".join(site.errors)
    server.popen.send_signal(signal.SIGTERM)
    assert server.end() == 143
    assert server.lines[-1]["refused"] == {"name of another": 1}


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("serve", "stepwise.py", "--bind", "tcp://*:0", "--keys", "none"), 4, "no keys at none/server.json"),
        (("join", "--kit", "site-a.kit", "--recipe", "stepwise.py"), 2, "nobody says where the server is"),
        (
            ("join", "--kit", "keys/server.json", "--recipe", "stepwise.py"),
            4,
            "keys/server.json holds no keys",
        ),
    ],
)
def test_what_cannot_be_right_is_said(
    place: Place, fox: Fox, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = fox(*words)

    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


@pytest.mark.parametrize("sites", [["site-x"], 3])
def test_sites_that_are_not_on_the_list_cannot_be_waited_for(place: Place, sites: Any) -> None:
    wanted = "site-x is not on the allow-list" if isinstance(sites, list) else "3 sites are wanted, but"
    recipe = FoxRecipe("r", 1, ServerApp(), ClientApp())
    with pytest.raises(RecipeError, match=rf"{wanted}.*site-a, site-b"):
        ServeEnv("tcp://127.0.0.1:0", place.keys, sites, place.folder / "runs").deploy(recipe)
    assert not (place.folder / "runs").exists()


def test_a_fake_scheduler_is_not_taken_for_a_clusters_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    recipe = FoxRecipe("r", 1, ServerApp(), ClientApp())
    run = {"run": "r-1", "sites": ("site-a", "site-b"), "min_clients": 1, "folder": str(tmp_path)}
    with pytest.raises(SchedulerError, match="no scheduler answers here"):
        HpcEnv().share(recipe, "site-a", **run)
    spec = HpcEnv(scheduler="fake-slurm").share(recipe, "site-b", **run)

    assert ([site.name for site in spec.sites], spec.names) == (["site-b"], ("site-a", "site-b"))


def test_addresses_are_read_and_wrong_ones_refused(place: Place) -> None:
    assert read_bind("tcp://*:8555") == ("*", 8555)
    assert read_bind("tcp://[::]:*") == ("::", 0)
    for wrong in ("here", "tcp://*", "tcp://*:99999", "tcp://*:65535", "tcp://::1:80", "http://*:80"):
        with pytest.raises(RecipeError, match="is nothing to listen at"):
            read_bind(wrong)
    kit = key_folder.load_kit(place.folder / "site-a.kit")
    assert urls_of(["tcp://h:1", "tcp://[::1]:2"], kit) == ("tcp://h:1", "tcp://[::1]:2")
    for wrong in ("host:1", "tcp://h", "tcp://::1:2"):
        with pytest.raises(RecipeError, match="is no address of a server"):
            urls_of([wrong], kit)


class ServerApp:
    """A server that is never run."""

    @fox_api.algo
    def run(self) -> None: ...


class ClientApp:
    """A client that is never run."""

    @fox_api.collab
    def work(self) -> None: ...


def test_a_site_with_another_recipe_says_so_and_leaves(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    url = server.wait_for("ready")["urls"][0]
    place.recipe.write_text(STEPWISE.replace('"stepwise"', '"other"'))
    site = place.join("site-a", url)

    assert site.end() == 2
    assert "has job_name 'other', but the server runs 'stepwise'" in "".join(site.errors)
    server.popen.send_signal(signal.SIGTERM)
    assert server.end() == 143


def test_no_pickle_and_no_secret_leave_a_site(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    ready = server.wait_for("ready")
    site = place.join("site-a", ready["urls"][0])
    here = Path(site.wait_for("ready")["workspace"])
    place.wait_for_call("site-a")
    there = Path(ready["workspace"])

    secret = key_folder.load_kit(place.folder / "site-a.kit").secret
    assert not list(there.rglob("*.pkl"))
    assert not any(secret in path.read_text() for path in here.rglob("*.json"))
    assert (here / "keys" / "relay.json").stat().st_mode & 0o777 == 0o600
    assert (here / "sites" / "site-a" / "attempt-1" / "keys").stat().st_mode & 0o777 == 0o700
    assert secret not in Path(f"/proc/{site.popen.pid}/cmdline").read_text()
    os.kill(server.popen.pid, signal.SIGTERM)
    assert (server.end(), site.end()) == (143, 0)
