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


DOWN = "LSF is down. Please wait ..."


@pytest.fixture
def calm(lsf: Any) -> Iterator[Any]:
    """The cluster, whose troubles end with the test."""
    yield lsf
    lsf.cluster.trouble(queries_fail_s=0, broken_json=False, lost_submits=0, query_delay_s=0)


def test_queries_fail_as_long_as_they_are_told_to(calm: Any) -> None:
    job = calm.submit("-H")
    calm.cluster.trouble(queries_fail_s=300)
    done = calm.run(f"bjobs {job}")

    assert (done.returncode, done.stdout, done.stderr) == (255, "", DOWN + "\n")
    assert DOWN in (GOLDEN / "bjobs_json.txt").read_text()
    calm.cluster.trouble(queries_fail_s=0)
    assert calm.run(f"bjobs {job}").returncode == 0


def test_queries_may_be_slow(calm: Any) -> None:
    calm.cluster.trouble(query_delay_s=0.5)
    before = time.monotonic()
    calm.run("bjobs")

    assert time.monotonic() - before >= 0.5


def test_json_may_break_off(calm: Any) -> None:
    job = calm.submit("-H")
    calm.cluster.trouble(broken_json=True)
    with pytest.raises(json.JSONDecodeError):
        json.loads(calm.out(f"bjobs -o 'jobid stat' -json {job}"))


def test_the_reply_to_a_submission_may_be_lost(calm: Any) -> None:
    calm.cluster.trouble(lost_submits=1)
    done = calm.run("bsub -H -J lost sleep 300")

    assert (done.returncode, done.stdout, done.stderr) == (255, "", f"{DOWN} Job not submitted.\n")
    assert calm.ask("bjobs", "-noheader", "-J", "lost", "-o", "stat") == "PSUSP"


def test_a_refusal_is_not_lost(calm: Any) -> None:
    calm.cluster.trouble(lost_submits=1)

    assert calm.run("bsub -q nosuchq true").stderr == "nosuchq: No such queue. Job not submitted.\n"


def test_a_site_may_chatter_and_keep_no_history(lsf_on: Any) -> None:
    words = "Welcome!\nYour project has 3 hours left.\n"
    with FakeCluster(dialect="lsf", nodes=1, accounting=False, chatter=words, min_job_age_s=0.0) as cluster:
        shell = lsf_on(cluster)
        said = shell.run("bsub -K -o /dev/null true").stdout
        job = shell.job_of(said)

        assert said.startswith(words + "Job <")
        assert shell.run(f"bhist {job}").stderr == f"Job <{job}>: No matching job found\n"
        assert shell.run(f"bjobs {job}").stderr == f"Job <{job}> is not found\n"
        assert shell.run("bjobs -a").stderr == "No job found\n"


def test_bhist_may_be_late_and_knows_what_bjobs_has_forgotten(lsf_on: Any) -> None:
    with FakeCluster(dialect="lsf", nodes=1, accounting_lag_s=1.0, min_job_age_s=0.0) as cluster:
        shell = lsf_on(cluster)
        job = shell.job_of(shell.run("bsub -K sh -c 'exit 7'").stdout)
        at_first = shell.run(f"bhist -l {job}").stdout

        assert "Exited with exit code 7." not in at_first
        assert shell.run(f"bjobs {job}").returncode == 255
        shell.until(lambda: "Exited with exit code 7." in shell.ask("bhist", "-l", job))


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
