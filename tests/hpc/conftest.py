"""Fixtures: recorded answers, and a PATH of small programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import Programs, Recorded, read_recording


@pytest.fixture
def recorded() -> Recorded:
    """Give a reader of the recordings."""
    return read_recording


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Give an empty folder of programs."""
    folder, tools = tmp_path / "bin", tmp_path / "tools"
    folder.mkdir()
    tools.mkdir()
    return Programs(folder, tools)
