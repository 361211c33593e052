from __future__ import annotations

from pathlib import Path

from fox_hpc.site.jobs import take_up
from fox_hpc.site.relay_record import RelayRecord


def test_a_job_without_an_end_is_open(tmp_path):
    record = RelayRecord(tmp_path)
    for site in ("site-1", "site-2"):
        record.add("submitting", site, 1, job_name=f"run-{site}")
        record.add("submitted", site, 1, job_id=site[-1])
    record.add("ended", "site-1", 1, job_id="1", state="DONE")

    assert record.open_jobs() == ["2"]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path):
    record = RelayRecord(tmp_path)
    record.add("submitted", "site-1", 1, job_id="1")
    with record.path.open("ab") as file:
        file.write(b'{"what":"ended","si')

    assert [fact.what for fact in record.facts()] == ["submitted"]
    assert record.open_jobs() == ["1"]


def test_no_record_is_no_job(tmp_path):
    assert RelayRecord(tmp_path).open_jobs() == []


def test_a_submission_whose_outcome_is_unknown_is_remembered_by_its_name(tmp_path):
    record = RelayRecord(tmp_path)
    for site in ("site-1", "site-2", "site-3"):
        record.add("submitting", site, 1, job_name=f"run-{site}-1")
    record.add("submitted", "site-1", 1, job_id="1")
    record.add("refused", "site-2", 1)

    assert record.open_names() == ["run-site-3-1"]
    assert record.open_jobs() == ["1"]


def test_a_site_that_has_left_begins_with_another_attempt(tmp_path: Path):
    record = RelayRecord(tmp_path)
    for what in ("submitting", "submitted", "ended", "left"):
        record.add(what, "site-1", 2, job_id="7", state="CANCELLED" if what == "ended" else "")
    job = take_up("site-1", record.last_attempts()["site-1"], now=0.0)

    assert (job.attempt, job.state) == (3, "NEW")
    assert (record.open_jobs(), record.open_names()) == ([], [])
