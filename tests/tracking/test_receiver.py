"""What the receivers keep, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from fox_hpc.errors import MissingExtra, RecipeError
from fox_hpc.metric import Point
from fox_hpc.tracking import History, TensorBoardReceiver, TrackedRun, make_receivers

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def curve(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    """Read (step, value, wall time) of a curve."""
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value, event.wall_time) for event in events.Scalars(tag)]


def points(tag: str, count: int) -> list[Point]:
    return [Point(tag, number / 2, number, 100.0 + number) for number in range(count)]


def test_each_site_has_its_own_event_file(tmp_path: Path) -> None:
    receiver = TensorBoardReceiver(tmp_path)
    receiver.receive("site-1", points("loss", 3))
    receiver.receive("site-2", points("loss", 2))
    receiver.close()

    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["site-1", "site-2"]
    assert curve(tmp_path / "site-1", "loss") == [(0, 0.0, 100.0), (1, 0.5, 101.0), (2, 1.0, 102.0)]
    assert len(curve(tmp_path / "site-2", "loss")) == 2


def test_points_can_be_read_before_the_receiver_is_closed(tmp_path: Path) -> None:
    receiver = TensorBoardReceiver(tmp_path)
    receiver.receive("site-1", points("loss", 3))

    assert len(curve(tmp_path / "site-1", "loss")) == 3
    receiver.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_a_value_that_no_axis_holds_is_written_all_the_same(tmp_path: Path, value: float) -> None:
    receiver = TensorBoardReceiver(tmp_path)
    receiver.receive("site-1", [Point("x", value, 1, 1.0)])
    receiver.close()
    [(_, found, _)] = curve(tmp_path / "site-1", "x")

    assert str(found) == str(math.inf if value == 1e300 else value)


def test_a_point_without_a_step_lies_at_zero(tmp_path: Path) -> None:
    receiver = TensorBoardReceiver(tmp_path)
    receiver.receive("site-1", [Point("x", 1.0, None, 1.0)])
    receiver.close()

    assert curve(tmp_path / "site-1", "x") == [(0, 1.0, 1.0)]


def test_make_receivers_puts_files_below_the_run_folder(tmp_path: Path) -> None:
    [receiver] = make_receivers("tensorboard", tmp_path)
    receiver.open(TrackedRun("run", "job", tmp_path))
    receiver.receive("site-1", points("loss", 1))
    receiver.close()

    assert len(curve(tmp_path / "tensorboard" / "site-1", "loss")) == 1


def test_make_receivers_gives_none_when_nothing_is_tracked(tmp_path: Path) -> None:
    assert make_receivers(None, tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (["tensorboard", "tensorboard"], "has something twice"),
        (TensorBoardReceiver, "an object with open"),
        ([History()], "an object with open"),
    ],
    ids=["twice", "a class", "no receiver"],
)
def test_what_cannot_receive_is_refused(tmp_path: Path, kind: object, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        make_receivers(kind, tmp_path)


def test_names_and_receivers_can_stand_in_one_list(tmp_path: Path) -> None:
    own = TensorBoardReceiver(tmp_path / "own")

    assert make_receivers(["tensorboard", own], tmp_path)[1] is own


def test_an_unknown_tracking_type_is_answered_with_the_right_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'csv': 'tensorboard', 'mlflow', 'wandb', an object"):
        make_receivers("csv", tmp_path)


def test_a_missing_tensorboard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)

    with pytest.raises(MissingExtra, match=r"pip install 'fox-hpc\[tensorboard\]'"):
        TensorBoardReceiver(tmp_path)


def test_writing_event_files_needs_no_torch(tmp_path: Path) -> None:
    ask = (
        "import sys; from fox_hpc.tracking import TensorBoardReceiver; from fox_hpc.metric import Point; "
        f"r = TensorBoardReceiver({str(tmp_path)!r}); "
        "r.receive('site-1', [Point('x', 1.0, 1, 1.0)]); r.close(); "
        "print([name for name in ('torch', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"
    assert curve(tmp_path / "site-1", "x") == [(1, 1.0, 1.0)]


def test_history_keeps_the_last_points_of_each_curve() -> None:
    history = History(limit=2)
    history.receive("site-1", points("loss", 5))
    history.receive("server", [Point("accuracy", 0.9, None, 1.0)])

    assert history.rows() == [
        ("site-1", "loss", 3, 1.5),
        ("site-1", "loss", 4, 2.0),
        ("server", "accuracy", None, 0.9),
    ]
