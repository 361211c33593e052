"""The suite itself: that it runs and says what it promises; what it measures decides no test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def bench(history: Path, *words: str, suite: Path = RUN) -> subprocess.CompletedProcess[str]:
    """Measure as quickly as it can."""
    command = [sys.executable, str(suite), "--quick", *words]
    return subprocess.run(
        [*command, "--history", str(history)], capture_output=True, text=True, timeout=60, check=False
    )


def test_each_figure_is_a_json_line_beside_its_limit_or_peers_and_is_kept(tmp_path: Path) -> None:
    history = tmp_path / "kept" / "history.jsonl"
    done = bench(history, "--only", "codec", "--only", "link", "--only", "curve", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["group"] for line in lines] == ["codec"] * 2 + ["link"] * 3 + ["curve"] * 4
    for line in lines:
        assert {"name", "value", "unit", "limit"} <= set(line)
        ratios = [key.removeprefix("ratio_to_") for key in line if key.startswith("ratio_to_")]
        assert ratios
        assert all(line[peer] > 0 for peer in ratios)
    kept = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["name"] for line in kept] == [line["name"] for line in lines]
    assert all({"date", "commit", "quick", "mib", "load"} <= set(line) for line in kept)

    table = bench(history, "--only", "curve").stdout.splitlines()
    rows = [row for row in table if row.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows[2:]] == [line["name"] for line in lines[5:]]
    # Each is set beside what was kept.
    assert all(row.rstrip(" |").endswith("%") for row in rows[2:])


def test_the_page_tells_of_every_group() -> None:
    shown = subprocess.run(
        [sys.executable, str(RUN), "--help"], capture_output=True, text=True, check=True
    ).stdout
    groups = shown.split("{", 1)[1].split("}", 1)[0].split(",")

    assert [group for group in groups if f"**{group}**" not in PAGE.read_text()] == []


def test_each_peer_that_cannot_do_the_work_costs_a_sentence(tmp_path: Path) -> None:
    suite = tmp_path / "tests" / "bench"
    shutil.copytree(RUN.parent, suite, ignore=shutil.ignore_patterns("__pycache__"))
    place = tmp_path / ".bench" / "peers" / "bin"
    place.mkdir(parents=True)
    (place / "installed").touch()
    # Outside of its venv it has neither of them.
    (place / "python").symlink_to(sys.executable)
    done = bench(tmp_path / "history", "--only", "peers", "--json", suite=suite / "run.py")

    assert (done.returncode, done.stdout) == (0, "")
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "nvflare, sim, did not do it",
        "flower, sim, did not do it",
        "nvflare, deployed, did not do it",
        "flower, deployed, did not do it",
        "no peer did the work",
    ]
