"""`status`: a site's times, and all fields as JSON."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fox_hpc.cli.status import COLUMNS
from fox_hpc.cli.times import SiteTimes, site_times
from fox_hpc.record import RunRecord, SiteRecord, load_record, save_record
from fox_hpc.site.relay_record import RelayRecord
from fox_hpc.spec import RunSpec, SiteSpec, save_spec

Fox = Callable[..., "subprocess.CompletedProcess[str]"]


def times(site: SiteRecord, *, ended: float | None = None, limit_s: float | None = None) -> SiteTimes:
    record = RunRecord("run", "job", "/nowhere", "hpc", "RUNNING", ended=ended)
    return site_times(record, site, 1000.0, submitted=400.0, limit_s=limit_s)


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (SiteRecord(), SiteTimes()),
        (SiteRecord(state="PENDING", since=500.0), SiteTimes(600.0, 500.0)),
        (SiteRecord(state="RUNNING", since=900.0), SiteTimes(500.0, 100.0)),
        (SiteRecord(state="DONE", since=900.0), SiteTimes(None, 100.0)),
        (SiteRecord(state="RUNNING", since=900.0, answered=990.0), SiteTimes(500.0, 100.0, None, 10.0)),
    ],
)
def test_a_sites_times_follow_from_its_record(site: SiteRecord, expected: SiteTimes) -> None:
    assert times(site) == expected


def test_what_is_left_is_the_limit_less_the_time_that_the_job_runs() -> None:
    assert times(SiteRecord(state="RUNNING", since=900.0), limit_s=150.0).left_s == 50.0
    assert times(SiteRecord(state="PENDING", since=900.0), limit_s=150.0).left_s is None


def test_a_run_that_has_ended_has_no_times() -> None:
    assert times(SiteRecord(state="RUNNING", since=900.0), ended=950.0) == SiteTimes()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "fox_runs" / "aaa-1"
    folder.mkdir(parents=True)
    now = time.time()
    hpc = {"time_limit": "1:00:00"}
    save_spec(RunSpec("aaa-1", "job", str(folder), (SiteSpec("site-1", hpc=hpc),), 1, "C", "py", "slurm", ()))
    RelayRecord(folder).add("submitted", "site-1", 2, job_id="4711")
    save_record(
        RunRecord(
            "aaa-1",
            "job",
            str(folder),
            "hpc",
            "RUNNING",
            started=now - 100,
            pid=os.getpid(),
            pid_started=psutil.Process().create_time(),
            host=socket.gethostname(),
            sites={
                "site-1": SiteRecord(
                    "slurm", "4711", 2, "RUNNING", reason="none", nodes="node[1-2]", since=now + 30
                )
            },
        )
    )
    return folder


def test_status_shows_how_long_a_site_waited_and_what_it_has_left(fox: Fox, run: Path) -> None:
    done = fox("status")
    _, header, row = done.stdout.splitlines()

    assert tuple(header.split()) == COLUMNS
    assert row.split()[:6] == ["site-1", "slurm", "4711", "RUNNING", "node[1-2]", "2"]
    assert row.split()[6] in ("0:29", "0:30")
    assert row.split()[8] == "1:00:00"


def test_status_as_json_has_all_fields(fox: Fox, run: Path) -> None:
    told = json.loads(fox("status", "--json").stdout)
    site = told["sites"]["site-1"]

    assert set(RunRecord.__struct_fields__) | {"workspace", "process_gone"} == set(told)
    assert set(SiteRecord.__struct_fields__) | set(SiteTimes.__dataclass_fields__) == set(site)
    assert (told["process_gone"], site["reason"], site["attempts"]) == (False, "none", 2)
    assert 28 < site["queued_s"] <= 30.5


def test_status_without_a_spec_still_shows_the_record(fox: Fox, run: Path) -> None:
    (run / "run.json").unlink()
    (run / "relay.jsonl").write_text("cut\n")
    done = fox("status")

    assert (done.returncode, done.stderr) == (0, "")
    assert "4711" in done.stdout


def test_status_says_for_how_long_a_scheduler_has_not_answered_and_what_it_said(fox: Fox, run: Path) -> None:
    record = load_record(run)
    record.sites["site-1"].answered = time.time() - 245
    record.sites["site-1"].trouble = "squeue did not end within 30 s; it is asked every 60 s"
    save_record(record)
    table = fox("status").stdout
    site = json.loads(fox("status", "--json").stdout)["sites"]["site-1"]

    assert re.search(
        r"^slurm last answered 4:0\d ago: squeue did not end within 30 s; it is", table, re.MULTILINE
    )
    assert re.search(r"\b4:0\d\b", table.splitlines()[2])  # the column "heard"
    assert 244 < site["answered_s"] < 300
    assert site["trouble"].startswith("squeue")
