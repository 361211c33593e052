"""`fox-hpc serve` and `fox-hpc join`: server and sites as processes that only a socket connects."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from intruder import KINDS, TIMES, Intruder

from fox_hpc import FoxRecipe, HpcEnv
from fox_hpc import fox as fox_api
from fox_hpc.cli.joining import urls_of
from fox_hpc.envs.serve import ServeEnv, read_bind
from fox_hpc.errors import RecipeError, SchedulerError
from fox_hpc.fake import FakeCluster
from fox_hpc.wire import key_folder

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]

#: Waits at every site for a file beside the recipe, named like the round.
STEPWISE = """
import time
from pathlib import Path
from fox_hpc import FoxRecipe, fox

HERE = Path(__file__).parent

class Server:
    @fox.algo
    def run(self):
        told = []
        for number in fox.rounds(2):
            answers = fox.clients(min_success=1).step(number)
            told.append([dict(answers.items()), {site: str(e) for site, e in answers.failures.items()}])
        return told

    @fox.collab
    def greet(self):
        return fox.caller

class Client:
    @fox.collab
    def step(self, number):
        (HERE / f"{fox.site_name}-in-{number}").touch()
        while not (HERE / f"go-{number}").exists() and not fox.is_aborted:
            time.sleep(0.01)
        return fox.server.greet()

recipe = FoxRecipe("stepwise", 1, Server(), Client())
"""


class Process:
    """A command whose `--json` lines are read as they come."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen, self.lines = popen, []
        self._news: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.errors: list[str] = []
        for target in (self._read, self._drain):
            threading.Thread(target=target, daemon=True).start()

    lines: list[dict[str, Any]]

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._news.put(json.loads(line))
        self._news.put(None)

    def _drain(self) -> None:
        assert self.popen.stderr is not None
        self.errors.extend(self.popen.stderr)

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event with these fields that has not been waited for."""
        deadline = time.monotonic() + 40
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no {event} {fields} came; {self.lines[-8:]} {self.errors}"
            self.lines.append(line)
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                return line

    def rest(self) -> list[Any]:
        """Give the lines that nobody has waited for."""
        lines: list[Any] = []
        while not self._news.empty():
            lines.append(self._news.get())
        return [*lines, *self.errors]

    def logged(self, text: str) -> int:
        """Count the log lines that have a text in them, of those that were read."""
        return sum(text in line["text"] for line in self.lines if line["event"] == "log")

    def end(self) -> int:
        """Wait for its end and give its exit code."""
        code = self.popen.wait(60)
        while (line := self._news.get(timeout=10)) is not None:
            self.lines.append(line)
        return code


class Place:
    """Where a server and its sites run, each of which has a workspace of its own."""

    def __init__(self, folder: Path, start: Start) -> None:
        self.folder, self._start = folder, start
        self.started: list[Process] = []
        self.recipe = folder / "stepwise.py"
        self.recipe.write_text(STEPWISE)
        self.keys = folder / "keys"
        key_folder.make_server(self.keys)
        for site in ("site-a", "site-b"):
            key_folder.save_kit(folder / f"{site}.kit", key_folder.add_site(self.keys, site))

    def serve(self, bind: str = "tcp://127.0.0.1:0", *words: str) -> Process:
        return self.run("serve", self.recipe, "--bind", bind, "--keys", self.keys, *words)

    def join(
        self, site: str, url: str, *words: str | Path, scheduler: str = "local", env: Any = None
    ) -> Process:
        where = ("--workspace", f"at-{site}", "--scheduler", scheduler)
        what = ("--kit", f"{site}.kit", "--recipe", self.recipe, "--server", url)
        return self.run("join", *what, *where, *words, env=env)

    def run(self, *words: str | Path, env: Any = None) -> Process:
        self.started.append(Process(self._start(*words, "--json", env=env)))
        return self.started[-1]

    def heard(self) -> list[Any]:
        """Give what the commands have said that nobody has waited for, when something did not come."""
        return [said for one in self.started for said in (one.popen.args, one.popen.poll(), *one.rest())]

    def go(self, *rounds: int) -> None:
        """Let the sites answer from now on."""
        for number in rounds or (0, 1):
            (self.folder / f"go-{number}").touch()

    def wait_for_call(self, site: str, number: int = 0) -> None:
        deadline = time.monotonic() + 90
        while not (self.folder / f"{site}-in-{number}").exists():
            assert time.monotonic() < deadline, "\n".join([f"{site} was not called", *map(str, self.heard())])
            time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path, start: Start) -> Place:
    """A place with two sites on the allow-list."""
    return Place(tmp_path, start)


@pytest.fixture
def forward() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start forwarders from 127.0.0.2 to the same ports of 127.0.0.1."""
    started = []

    def run(*ports: int) -> subprocess.Popen[str]:
        words = [Path(__file__).with_name("forwarder.py"), "127.0.0.2", "127.0.0.1", *ports]
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def tell(forwarder: subprocess.Popen[str], word: str) -> None:
    assert forwarder.stdin is not None
    assert forwarder.stdout is not None
    forwarder.stdin.write(word + "\n")
    forwarder.stdin.flush()
    assert forwarder.stdout.readline() == "done\n"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


BOTH = {"site-a": "site-a", "site-b": "site-b"}


def test_sites_join_over_ipv6_early_and_late_and_all_end_well(place: Place) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
    early = place.join("site-a", f"tcp://[::1]:{port}", "--port-range", "20000-40000")
    server = place.serve(f"tcp://[::1]:{port}")
    ready = server.wait_for("ready")
    assert (ready["urls"], ready["sites"]) == ([f"tcp://[::1]:{port}"], ["site-a", "site-b"])
    assert 20000 <= early.wait_for("ready")["port"] <= 40000
    place.wait_for_call("site-a")
    # Of several addresses the one that answers is taken.
    late = place.join("site-b", "tcp://[::1]:1", "--server", f"tcp://[::1]:{port}")
    late.wait_for("ready", run=ready["run"])
    place.go()
    ended = server.wait_for("ended")

    assert [server.end(), early.end(), late.end()] == [0, 0, 0]
    assert (ended["state"], ended["refused"]) == ("DONE", {})
    assert ended["result"] == [[BOTH, {}], [BOTH, {}]]
    folders = [path for site in BOTH for path in (place.folder / f"at-{site}").iterdir()]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o700, 0o700]


def test_a_link_that_breaks_in_a_tunnel_is_taken_up_again(
    place: Place, forward: Callable[..., subprocess.Popen[str]]
) -> None:
    # An answer of 3 MiB goes over the second port.
    big = STEPWISE.replace("fox.server.greet()", "[fox.server.greet(), bytes(3 << 20)]")
    place.recipe.write_text(big.replace("dict(answers.items())", "{s: a[0] for s, a in answers.items()}"))
    port = free_pair()
    server = place.serve(f"tcp://127.0.0.1:{port}", "--sites", "1", "--advertise", "tcp://tunnel:8555")
    assert server.wait_for("ready")["urls"] == ["tcp://tunnel:8555"]
    tunnel = forward(port, port + 1)
    site = place.join("site-a", f"tcp://127.0.0.2:{port}")
    site.wait_for("ready")
    place.wait_for_call("site-a")
    tell(tunnel, "pause")
    # The answer is ready while nobody can take it.
    place.go(0)
    tell(tunnel, "go")
    site.wait_for("back")
    place.go()
    ended = server.wait_for("ended")

    assert (server.end(), site.end()) == (0, 0)
    assert ended["result"] == [[{"site-a": "site-a"}, {}]] * 2
    assert ended["sites"]["site-a"]["attempts"] == 1


def free_pair() -> int:
    """Find a port that is free with the one behind it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def test_a_join_that_was_killed_leaves_its_job_to_the_next_one(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    url = server.wait_for("ready")["urls"][0]
    (place.folder / "site.toml").write_text('[relay]\npoll_s = 0.2\nports = "20000-40000"\n')
    with FakeCluster("slurm", nodes=1) as cluster:
        words = ("--site", "site.toml")
        first = place.join("site-a", url, *words, scheduler="slurm", env=cluster.env)
        port = first.wait_for("ready")["port"]
        place.wait_for_call("site-a")
        first.popen.send_signal(signal.SIGKILL)
        first.popen.wait(10)
        second = place.join("site-a", url, *words, scheduler="slurm", env=cluster.env)
        assert second.wait_for("ready")["port"] == port
        place.go()
        ended = server.wait_for("ended")

        assert (server.end(), second.end(), ended["state"]) == (0, 0, "DONE")
    assert ended["result"] == [[{"site-a": "site-a"}, {}]] * 2
    assert ended["sites"]["site-a"]["attempts"] == 1


def test_a_site_that_has_left_comes_back_with_another_attempt(place: Place) -> None:
    server = place.serve()
    url = server.wait_for("ready")["urls"][0]
    stays, leaves = (place.join(site, url) for site in BOTH)
    for site in BOTH:
        place.wait_for_call(site)
    server.wait_for("site", site="site-b", ready=True)
    leaves.popen.send_signal(signal.SIGTERM)
    assert leaves.end() == 143
    server.wait_for("site", site="site-b", ready=False)
    returned = place.join("site-b", url)
    server.wait_for("site", site="site-b", ready=True, attempt=2)
    place.go()
    ended = server.wait_for("ended")

    assert [server.end(), stays.end(), returned.end()] == [0, 0, 0]
    assert [list(round) for round, _ in ended["result"]] == [["site-a"], ["site-a", "site-b"]]


def test_a_server_that_was_killed_begins_anew_and_its_sites_come_back(place: Place) -> None:
    first = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    ready = first.wait_for("ready")
    site = place.join("site-a", ready["urls"][0])
    site.wait_for("ready", run=ready["run"])
    place.wait_for_call("site-a")
    first.popen.send_signal(signal.SIGKILL)
    first.popen.wait(10)
    (place.folder / "site-a-in-0").unlink()
    second = place.serve(ready["urls"][0], "--sites", "site-a")
    run = second.wait_for("ready")["run"]
    assert run != ready["run"]
    site.wait_for("again")
    site.wait_for("ready", run=run)
    place.wait_for_call("site-a")
    place.go()

    assert second.wait_for("ended")["result"] == [[{"site-a": "site-a"}, {}]] * 2
    assert (second.end(), site.end()) == (0, 0)


def test_a_revoked_site_is_parted_from_while_the_others_go_on(place: Place, fox: Fox) -> None:
    server = place.serve()
    url = server.wait_for("ready")["urls"][0]
    joined = [place.join(site, url) for site in BOTH]
    for site in BOTH:
        place.wait_for_call(site)
    assert fox("keys", "revoke", place.keys, "site-b").returncode == 0
    server.wait_for("site", site="site-b", state="LOST")
    place.go()
    ended = server.wait_for("ended")

    assert (server.end(), joined[0].end(), ended["state"]) == (0, 0, "DONE")
    answers, failures = ended["result"][0]
    assert (answers, list(failures)) == ({"site-a": "site-a"}, ["site-b"])
    assert failures["site-b"].endswith("its key was revoked")
    joined[1].popen.send_signal(signal.SIGTERM)
    assert joined[1].end() == 143


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


def test_signals_cancel_the_jobs_on_both_sides(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    url = server.wait_for("ready")["urls"][0]
    site = place.join("site-a", url)
    place.wait_for_call("site-a")
    server.popen.send_signal(signal.SIGINT)

    assert (server.end(), site.end()) == (130, 0)
    assert server.lines[-1]["state"] == "CANCELLED"
    assert not [
        process.pid
        for process in psutil.process_iter()
        if str(place.folder / "at-site-a") in " ".join(_words(process))
    ]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


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
