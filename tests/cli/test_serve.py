"""`fox-hpc serve` and `fox-hpc join`: server and sites as processes that only a socket connects."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from serving import STEPWISE, Fox, Place
from waiting import wait_for, words_of

from fox_hpc.fake import FakeCluster


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
        if str(place.folder / "at-site-a") in " ".join(words_of(process))
    ]


def test_a_signal_ends_a_join_whose_recipe_hangs(place: Place) -> None:
    server = place.serve("tcp://127.0.0.1:0", "--sites", "site-a")
    url = server.wait_for("ready")["urls"][0]
    place.recipe.write_text(f"{STEPWISE}\n(HERE / 'loading').touch()\ntime.sleep(600)\n")
    site = place.join("site-a", url)
    wait_for((place.folder / "loading").exists)
    below = psutil.Process(site.popen.pid).children(recursive=True)
    site.popen.send_signal(signal.SIGTERM)

    assert site.end() == 143
    assert below
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert not list(place.folder.glob("at-site-a/*/run.json"))
