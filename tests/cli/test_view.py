"""What the views say of a record, without a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fox_hpc.cli.view import LineView, LiveView, changes, make_console, make_view, render, site_line
from fox_hpc.record import RunRecord, SiteRecord


def record(**fields: object) -> RunRecord:
    site = SiteRecord("slurm", "4711", 1, "RUNNING", nodes="node[1-2]", since=100.0)
    known: dict[str, object] = {"run": "r-1", "job_name": "r", "folder": "/runs/r-1", "env": "hpc"}
    return RunRecord(**{**known, "started": 90.0, "sites": {"site-1": site}, **fields})  # type: ignore[arg-type]


def shown(what: RunRecord, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(what, 165.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_first_lines_name_the_run_and_its_jobs() -> None:
    assert changes(None, record(notices=["a fake Slurm is used"])) == [
        "run r-1 in /runs/r-1",
        "a fake Slurm is used",
        "site-1  job 4711 RUNNING node[1-2] starting",
    ]


def test_nothing_is_said_when_nothing_changed() -> None:
    assert changes(record(round=1), record(round=1)) == []


def test_a_site_that_was_not_submitted_yet_has_no_line() -> None:
    assert changes(record(sites={}), record(sites={"site-1": SiteRecord()})) == []


def test_a_site_that_waits_to_know_whether_it_has_a_job_says_so() -> None:
    waits = SiteRecord(state="NEW", reason="whether job r-1-site-1-1 was taken is not known")

    assert changes(record(sites={}), record(sites={"site-1": waits})) == [
        "site-1  NEW whether job r-1-site-1-1 was taken is not known"
    ]


def test_a_finished_round_is_said() -> None:
    assert changes(record(), record(round=2, rounds=5)) == ["round 2/5"]
    assert changes(record(), record(round=2)) == ["round 2"]


def test_a_new_failure_is_said_once() -> None:
    before, after = record(), record(failures={"site-1": "it broke"})

    assert changes(before, after) == ["site-1: it broke"]
    assert changes(after, after) == []


def test_calls_come_and_go_without_a_line() -> None:
    before, after = record(), record()
    before.sites["site-1"].ready = after.sites["site-1"].ready = True
    after.sites["site-1"].call = "train"

    assert [line for line in changes(before, after) if "train" in line] == []


@pytest.mark.parametrize(
    ("site", "line"),
    [
        (SiteRecord("slurm", "7", 1, "PENDING", reason="Resources"), "s  job 7 PENDING Resources"),
        (SiteRecord("slurm", "7", 1, "RUNNING", ready=True, nodes="n1"), "s  job 7 RUNNING n1 ready"),
        (SiteRecord("slurm", "8", 2, "FAILED", reason="NonZero"), "s  job 8 FAILED NonZero (attempt 2)"),
    ],
)
def test_a_site_is_one_line(site: SiteRecord, line: str) -> None:
    assert site_line("s", site) == line


def test_the_table_shows_job_state_nodes_and_seconds() -> None:
    text = shown(record(round=2, rounds=5, state="RUNNING"))

    for word in ("r-1", "round 2/5", "1:15", "site-1", "slurm", "4711", "node[1-2]", "1:05", "starting"):
        assert word in text


def test_many_sites_are_counted_instead_of_listed() -> None:
    text = shown(record(sites={f"site-{n}": SiteRecord(state="PENDING") for n in range(1, 101)}))

    assert "site-24" in text
    assert "site-25" not in text
    assert "and 76 PENDING" in text


def test_a_file_gets_lines_without_colour() -> None:
    console = Console(file=io.StringIO())
    view = make_view(console)
    view.update(record())
    view.close()

    assert isinstance(view, LineView)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()


def test_a_terminal_gets_a_table_in_place() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    view = make_view(console)
    view.update(record(state="RUNNING", notices=["a notice"]))
    view.update(record(state="DONE", notices=["a notice"]))
    view.close()

    assert isinstance(view, LiveView)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("a notice") == 1


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert make_console().no_color is True


def test_a_scheduler_that_stops_to_answer_is_told_of_once_and_shown_with_its_age() -> None:
    before, after = record(), record()
    after.sites["site-1"].trouble, after.sites["site-1"].answered = "squeue did not end within 30 s", 100.0

    assert changes(before, after) == ["slurm: squeue did not end within 30 s"]
    assert changes(after, after) == []
    assert "slurm last answered 1:05 ago: squeue did not end within 30 s" in shown(after)


def test_a_scheduler_that_never_answered_is_said_to_have_not() -> None:
    silent = record()
    silent.sites["site-1"].trouble = "squeue is not on PATH"

    assert "slurm has not answered yet: squeue is not on PATH" in shown(silent)
