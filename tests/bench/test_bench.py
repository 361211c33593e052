"""The suite itself: that it runs and says what it promises; what it measures decides no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def test_each_figure_is_a_json_line_beside_its_limit_or_peers_when_groups_are_chosen(tmp_path: Path) -> None:
    history = tmp_path / "kept" / "history.jsonl"
    command = [sys.executable, str(RUN), "--only", "import", "--only", "codec", "--json", "--quick"]
    done = subprocess.run(
        [*command, "--history", str(history)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["group"] for line in lines] == ["import", "import", "codec", "codec"]
    for line in lines:
        assert {"name", "value", "unit", "limit"} <= set(line)
        ratios = [key.removeprefix("ratio_to_") for key in line if key.startswith("ratio_to_")]
        assert ratios
        assert all(line[peer] > 0 for peer in ratios)
    kept = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["name"] for line in kept] == [line["name"] for line in lines]
    assert all({"date", "commit", "quick"} <= set(line) for line in kept)
