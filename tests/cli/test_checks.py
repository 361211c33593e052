"""What `doctor` makes of answers and reports: no host, no job."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fox_hpc.cli import checks
from fox_hpc.cli.checks import Check, Partition, check_accounting, check_commands, check_partition
from fox_hpc.cli.job_checks import check_job, check_reports
from fox_hpc.cli.probing import Probed
from fox_hpc.cli.recommend import poll_s, recommended, site_toml
from fox_hpc.hpc.dialect import Answer, JobInfo
from fox_hpc.hpc.profile import read_profile
from fox_hpc.site.probe_job import Report

SINFO = Answer(
    checks.PARTITIONS,
    0,
    "batch*|up|1-00:00:00|3|64|256000|(null)|idle\nbatch*|up|1-00:00:00|1|128|512000|gpu:4|mixed\nold|down|infinite|9|8|1000|(null)|drained\n",
    "",
)
GOOD = [
    Report(
        node,
        f"node{node + 1}",
        "3.11.7",
        "0.1.0",
        url="tcp://10.0.0.1:4711",
        reached_s=0.01,
        skew_s=0.001,
        rtt_s=0.0002,
        login_saw_s=0.01,
        saw_login_s=0.02,
        round_s=0.0001,
        won=list(range(node * 10, node * 10 + 10)),
        reads=node * 30,
        torch="2.5",
        torch_s=0.1,
    )
    for node in range(2)
]


def judged(*reports: Report, torch: bool = False) -> dict[str, Check]:
    return {check.name: check for check in check_reports(reports, "3.11.9", "0.1.0", torch)}


def changed(**fields: object) -> list[Report]:
    """Give two good reports, the second one changed."""
    return [GOOD[0], msgspec.structs.replace(GOOD[1], **fields)]


def test_good_reports_are_all_ok() -> None:
    found = judged(*GOOD, torch=True)

    assert {check.level for check in found.values()} == {"ok"}
    assert set(found) == {
        *("python", "way back", "shared folder", "clock", "rendezvous", "exclusive", "rename", "torch")
    }
    assert found["way back"].found == (
        "node1 by tcp://10.0.0.1:4711 in 10 ms, node2 by tcp://10.0.0.1:4711 in 10 ms"
    )


@pytest.mark.parametrize(
    ("fields", "name", "level", "words"),
    [
        ({"unreached": "no answer from any of tcp://x"}, "way back", "fail", "node2: no answer from any"),
        ({"fox_hpc": "0.0.9"}, "python", "fail", "0.1.0 here, but node2 has fox-hpc 0.0.9"),
        ({"python": "3.12.1"}, "python", "fail", "3.11.9 here, but node2 has 3.12.1"),
        ({"login_saw_s": None}, "shared folder", "fail", "was not seen within 30 s"),
        ({"saw_login_s": 12.0}, "shared folder", "warn", "within 12.00 s"),
        ({"skew_s": -4.0}, "clock", "warn", "node2 differs by 4.000 s"),
        ({"skew_s": 4.0, "rtt_s": 7.0}, "clock", "ok", "4.000 s"),
        ({"unmet": "the first node did not answer"}, "rendezvous", "fail", "node2: the first node"),
        ({"won": [9, *range(10, 20)]}, "exclusive", "fail", "1 of 20 files"),
        ({"won": list(range(11, 20))}, "exclusive", "fail", "1 of 20 files"),
        ({"torn": 2}, "rename", "fail", "2 of 30 reads found a mix"),
        ({"missing": 1}, "rename", "fail", "1 no file"),
        ({"broken": "Stale file handle"}, "rename", "fail", "node2: Stale file handle"),
        ({"torch_error": "RuntimeError: no"}, "torch", "fail", "node2: RuntimeError: no"),
    ],
)
def test_a_bad_report_is_judged(fields: dict[str, object], name: str, level: str, words: str) -> None:
    check = judged(*changed(**fields), torch=True)[name]

    assert check.level == level
    assert words in check.found
    assert bool(check.advice) == (level != "ok")


def test_what_could_not_be_tried_is_not_judged() -> None:
    assert set(judged(GOOD[0])) == {"python", "way back", "shared folder", "clock"}
    assert set(judged(*changed(unmet="no"))) == {"python", "way back", "shared folder", "clock", "rendezvous"}
    assert judged() == {}


RAN = Probed(job_id="7", info=JobInfo("7", "DONE", nodes="node[1-2]"), waited_s=3.2, reports=GOOD)


@pytest.mark.parametrize(
    ("probed", "level", "words"),
    [
        (RAN, "ok", "job 7 on node[1-2], started after 3 s in the queue, DONE"),
        (replace(RAN, refused="sbatch did not take the job: no"), "fail", "did not take the job"),
        (replace(RAN, gave_up="it was still PENDING (Resources) after 5 s"), "fail", "(Resources)"),
        (replace(RAN, reports=GOOD[:1]), "fail", "no report of node 1 is seen here"),
        (replace(RAN, info=JobInfo("7", "FAILED"), stderr_tail="a\nNo module named x"), "fail", "FAILED"),
    ],
)
def test_a_job_is_judged(probed: Probed, level: str, words: str) -> None:
    check = check_job(probed, 2)

    assert (check.level, words in check.found) == (level, True)


def test_a_failed_jobs_last_words_are_shown() -> None:
    assert (
        "No module named x"
        in check_job(replace(RAN, info=JobInfo("7", "FAILED"), stderr_tail="a\nNo module named x"), 2).advice
    )


def test_partitions_are_read_with_all_their_nodes() -> None:
    assert checks.read_partitions(SINFO) == [
        Partition("batch", True, True, "1-00:00:00", 4, "64", "256000", "gpu:4"),
        Partition("old", False, False, "infinite", 9, "8", "1000", "", 9),
    ]


@pytest.mark.parametrize(
    ("wanted", "nodes", "level", "words"),
    [
        (None, 2, "ok", "batch*: 4 nodes of 64 CPUs, 256000 MB, gpu:4, limit 1-00:00:00"),
        (None, 5, "fail", "batch*"),
        ("old", 2, "fail", "old: 9 nodes (9 out of use) of 8 CPUs, 1000 MB, limit infinite, down"),
        ("new", 2, "fail", "there is no 'new'"),
    ],
)
def test_a_partition_is_judged(wanted: str | None, nodes: int, level: str, words: str) -> None:
    check = check_partition(checks.read_partitions(SINFO), wanted, nodes, SINFO)

    assert (check.level, check.found.startswith(words)) == (level, True)


@pytest.mark.parametrize("state", ["down*", "drained", "idle*", "draining", "maint"])
def test_nodes_that_are_out_of_use_are_a_warning(state: str) -> None:
    answer = replace(SINFO, stdout=SINFO.stdout.replace("|idle", f"|{state}"))
    check = check_partition(checks.read_partitions(answer), None, 2, answer)

    assert (check.level, "4 nodes (3 out of use)" in check.found) == ("warn", True)


def test_a_scheduler_that_does_not_answer_fails() -> None:
    answer = Answer(checks.PARTITIONS, 1, "", "slurm_load_partitions: Unable to contact slurm controller")

    assert check_partition([], None, 2, answer).level == "fail"


def test_missing_commands_fail_and_a_missing_sacct_warns() -> None:
    version = Answer(checks.VERSION, 0, "slurm 23.11.4\n", "")
    here = dict.fromkeys((*checks.NEEDED, *checks.USEFUL), "/usr/bin/it")

    assert check_commands(here, version).level == "ok"
    assert check_commands({**here, "sacct": None}, version).level == "warn"
    assert check_commands({**here, "sinfo": None}, version).found == "sinfo not on PATH"


def test_accounting_that_is_off_or_silent_is_a_warning() -> None:
    good = Answer(checks.ACCOUNTING, 0, "", "")
    off = replace(good, exit_code=1, stderr="Slurm accounting storage is disabled\n")

    assert check_accounting(good, 300).level == "ok"
    assert check_accounting(off, 300).found == "switched off at this site"
    assert "300 s" in check_accounting(off, 300).advice
    assert check_accounting(replace(off, stderr="refused\nmore"), None).found.endswith("1: refused")


def test_how_long_squeue_remembers_is_read() -> None:
    config = Answer(checks.CONFIG, 0, "KillWait = 30 sec\nMinJobAge               = 60 sec\n", "")

    assert checks.read_min_job_age(config) == 60
    assert checks.read_min_job_age(replace(config, stdout="")) is None


def test_addresses_that_are_loopback_only_are_a_warning() -> None:
    assert checks.check_addresses(["127.0.0.1"]).level == "warn"
    assert checks.check_addresses(["login1", "10.0.0.1", "127.0.0.1"]).found == "login1, 10.0.0.1"


def test_without_accounting_the_queue_is_asked_before_it_forgets() -> None:
    assert (poll_s(True, 10), poll_s(False, None), poll_s(False, 300)) == (30.0, 30.0, 30.0)
    assert poll_s(False, 30) == 10.0


@pytest.mark.parametrize(
    "found", [[], [Check("warn", "clock", 'differs\nby "4" s', "run chrony")]], ids=["good", "troubled"]
)
def test_what_is_written_is_a_profile(found: list[Check]) -> None:
    asked = {"scheduler": "slurm", "account": "p'\"\\é", "nodes_per_client": 2, "directives": ["--x=1"]}
    partition = checks.read_partitions(SINFO)[0]
    tables = recommended(asked, partition, accounting=True, remembers_s=300)
    text = site_toml(tables, found, partition)
    profile = read_profile(text)

    assert list(tables["job"]) == ["scheduler", "partition", "account", "directives"]
    assert dict(profile.job) == {
        "scheduler": "slurm",
        "partition": "batch",
        "account": "p'\"\\é",
        "directives": ["--x=1"],
    }
    assert profile.poll_s == 30.0
    assert ('# warn: clock: differs by "4" s; run chrony' in text) == bool(found)


def test_settings_that_are_only_suggested_are_right_too() -> None:
    tables = recommended({"scheduler": "slurm"}, None, accounting=True, remembers_s=None)
    text = site_toml(tables, [], None)
    suggested = [
        line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ") and " = " in line
    ]

    assert len(suggested) > 5
    assert read_profile("[job]\n" + "\n".join(suggested)).job["mem"] == "64G"
