"""What goes wrong on real sites can be switched on, and is seen by the programs as there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fox_hpc.fake import FakeCluster

GOLDEN = Path(__file__).parents[2] / "golden" / "lsf"


@pytest.fixture
def calm(lsf: Any) -> Iterator[Any]:
    """The cluster, whose troubles end with the test."""
    yield lsf
    lsf.cluster.trouble(
        failing_queries=0, cut_queries=0, lost_submit_replies=0, query_delay_s=0.0, chatter="",
        accounting=True, accounting_lag_s=0.0, min_job_age_s=300.0,
    )  # fmt: skip


def test_queries_fail_as_often_as_they_are_told_to(calm: Any) -> None:
    job = calm.submit("-H")
    calm.cluster.trouble(failing_queries=1)
    done = calm.run(f"bjobs {job}")

    assert (done.returncode, done.stderr) == (255, "LSF is down. Please wait ...\n")
    assert done.stderr in (GOLDEN / "bjobs_json.txt").read_text()
    assert calm.run(f"bjobs {job}").returncode == 0


def test_queries_may_be_slow(calm: Any) -> None:
    calm.cluster.trouble(query_delay_s=0.5)
    before = time.monotonic()
    calm.run("bjobs")

    assert time.monotonic() - before >= 0.5


def test_an_answer_may_break_off(calm: Any) -> None:
    job = calm.submit("-H")
    calm.cluster.trouble(cut_queries=1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(calm.out(f"bjobs -o 'jobid stat' -json {job}"))

    assert json.loads(calm.out(f"bjobs -o 'jobid stat' -json {job}"))["RECORDS"][0]["STAT"] == "PSUSP"


def test_the_reply_to_a_submission_may_be_lost(calm: Any) -> None:
    calm.cluster.trouble(lost_submit_replies=1)
    done = calm.run("bsub -H -J lost sleep 300")

    assert (done.returncode, done.stdout) == (255, "")
    assert calm.ask("bjobs", "-noheader", "-J", "lost", "-o", "stat") == "PSUSP"


def test_a_refusal_is_not_lost(calm: Any) -> None:
    calm.cluster.trouble(lost_submit_replies=-1)

    assert calm.run("bsub -q nosuchq true").stderr == "nosuchq: No such queue. Job not submitted.\n"


def test_sites_may_chatter_before_the_answer(calm: Any) -> None:
    calm.cluster.trouble(chatter="Welcome!\nYour project has 3 hours left.\n")

    assert calm.out("bsub -H sleep 300").splitlines()[:2] == ["Welcome!", "Your project has 3 hours left."]


def test_history_may_be_off_or_late(calm: Any) -> None:
    job = calm.submit("-K -o /dev/null", "true")
    calm.cluster.trouble(accounting=False)
    assert calm.run(f"bhist {job}").stderr == f"Job <{job}>: No matching job found\n"
    calm.cluster.trouble(accounting=True, accounting_lag_s=300.0)
    assert calm.run(f"bhist {job}").returncode == 255
    calm.cluster.trouble(accounting_lag_s=0.0)

    assert "Done successfully" in calm.out(f"bhist -l {job}")


def test_ended_jobs_are_forgotten_and_bhist_knows_them_still(calm: Any) -> None:
    job = calm.job_of(calm.run("bsub -K sh -c 'exit 7'").stdout)
    calm.cluster.trouble(min_job_age_s=0.0)
    done = calm.run(f"bjobs {job}")

    assert (done.returncode, done.stdout, done.stderr) == (255, "", f"Job <{job}> is not found\n")
    assert calm.run("bjobs -a").stderr == "No job found\n"
    assert "Exited with exit code 7." in calm.out(f"bhist -l {job}")


@pytest.mark.parametrize(("ids", "code"), [("99999", 0), ("", 0), ("{job} 99999", 255)])
def test_exit_codes_may_be_those_of_ibms_default(calm: Any, ids: str, code: int) -> None:
    job = calm.submit("-K -o /dev/null", "true")

    assert calm.run("bjobs " + ids.format(job=job), LSB_BJOBS_CONSISTENT_EXIT_CODE="N").returncode == code


def test_json_has_the_attested_shape(calm: Any) -> None:
    job = calm.submit("-H -J hold_job -P GEN014ECPCI -e errs")
    text = (GOLDEN / "bjobs_json.txt").read_text()
    fields = text.split("bjobs -o '")[1].split("'")[0]
    attested = json.loads(text.split("-json\n")[1].split("\n## ")[0])
    found = json.loads(calm.out(f"bjobs -o '{fields}' -json {job}"))

    assert [*found] == [*attested]
    ((one,), (other,)) = (found["RECORDS"], attested["RECORDS"])
    assert [*one] == [*other]
    empty = {name for name, value in other.items() if not value} - {"USER_GROUP"}
    assert {name for name, value in one.items() if not value} - {"USER_GROUP"} == empty
    assert (one["STAT"], one["JOB_NAME"], one["PROJ_NAME"]) == ("PSUSP", "hold_job", "GEN014ECPCI")


def test_an_unknown_id_is_a_record_with_an_error(calm: Any) -> None:
    answer = json.loads(calm.run("bjobs -o 'jobid stat' -json 99999").stdout)

    assert answer["RECORDS"] == [{"JOBID": "99999", "ERROR": "Job <99999> is not found"}]


def test_fields_have_widths_and_delimiters(calm: Any) -> None:
    job = calm.submit("-H -J a-long-name-of-a-job")

    assert calm.ask("bjobs", "-noheader", "-o", "stat:-7 job_name:8 exit_code", job) == "PSUSP *f-a-job -"
    assert (
        calm.out(f"bjobs -o 'stat name delimiter=\"|\"' {job}") == "STAT|JOB_NAME\nPSUSP|a-long-name-of-a-job"
    )


def test_an_unknown_trouble_names_the_right_ones() -> None:
    with pytest.raises(TypeError, match=r"no option hiccup; it has .*failing_queries"):
        FakeCluster(dialect="lsf").trouble(hiccup=1)
