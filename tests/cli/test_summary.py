"""What is left on the screen after a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fox_hpc.cli.summary import Scalar, number, pivot, print_summary
from fox_hpc.record import RunRecord


def printed(record: RunRecord, scalars: list[Scalar]) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_summary(console, record, scalars)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_row_is_a_step_and_the_server_comes_first() -> None:
    table = pivot(
        [("site-1", "loss", 0, 2.0), ("site-1", "loss", 1, 1.0), ("server", "accuracy", 1, 0.9)],
    )

    assert table.columns == ("accuracy", "site-1 loss")
    assert table.rows == ((0, (None, 2.0)), (1, (0.9, 1.0)))


def test_the_later_value_of_a_step_counts() -> None:
    assert pivot([("server", "x", 1, 1.0), ("server", "x", 1, 2.0)]).rows == ((1, (2.0,)),)


def test_values_without_a_step_have_no_row() -> None:
    assert pivot([("server", "x", None, 1.0)]).rows == ()


def test_many_sites_are_shown_as_their_mean() -> None:
    scalars: list[Scalar] = [(f"site-{n}", "loss", 0, float(n)) for n in range(1, 9)]
    table = pivot([*scalars, ("server", "accuracy", 0, 0.5)])

    assert table.columns == ("accuracy", "mean loss")
    assert table.rows == ((0, (0.5, 4.5)),)


def test_columns_go_by_tag_and_by_site_as_people_count() -> None:
    names = [("site-10", "a"), ("site-2", "b"), ("site-2", "a"), ("server", "b")]

    assert pivot([(site, tag, 0, 1.0) for site, tag in names]).columns == (
        "b",
        "site-2 a",
        "site-10 a",
        "site-2 b",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (0.98765432, "0.9877"), (1.5e-7, "1.500e-07"), (float("nan"), "nan"), (2.5e9, "2.500e+09")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_the_summary_has_the_result_and_the_way_to_the_curves(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").mkdir()
    result = {"rounds": 5, "accuracy": 0.95123, "digest": "ab" * 32}
    record = RunRecord("r-1", "r", str(tmp_path), "hpc", "DONE", 10.0, 52.0, round=5, rounds=5, result=result)
    text = printed(record, [("server", "accuracy", 5, 0.95)])

    for word in (
        "0.9512",
        "ab" * 32,
        "DONE in 42.0 s",
        "5/5",
        f"tensorboard --logdir {tmp_path}/tensorboard",
    ):
        assert word in text


def test_a_result_that_is_no_mapping_is_one_line(tmp_path: Path) -> None:
    text = printed(RunRecord("r-1", "r", str(tmp_path), "sim", "DONE", result=[1, 2]), [])

    assert "result     [1, 2]" in text
    assert "tensorboard" not in text
