"""The programs answer as the recordings of a real OpenPBS do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from pbs_recordings import Pbs, brief, normal, recording, sample, samples, script

from fox_hpc.fake import FakeCluster
from fox_hpc.fake.pbs.show import long_form

LONG = "#!/bin/bash\nexec sleep 300\n"
GPU_PER_NODE = (
    "-l select=2:ncpus=2:ngpus=1:mem=1gb -l place=scatter -l walltime=00:05:00 -A proj-1 -N fox_demo"
)
STATES = {
    "29": f"{GPU_PER_NODE} -j oe -o logs/fox.out -r y -v FOX=1,BAR=two",
    "30": "-l select=2:ncpus=4 -l place=scatter -l walltime=00:05:00 -N fox_wait",
    "31": "-l select=4:ncpus=4:ngpus=9 -l walltime=00:05:00 -N fox_never",
    "32": "-h -N fox_held",
    "33": "-a 202911240438 -N fox_wait_time",
}


def without_numbers(text: str) -> str:
    return re.sub(r"^\d+(\[\])?\.pbs01$", r"N\1.pbs01", text, flags=re.M)


@pytest.mark.parametrize("name", ["01", "02"])
def test_qsub_answers_and_refuses_as_recorded(pbs: Pbs, name: str) -> None:
    pbs.write("job.sh", script("01", "job.sh"))
    for recorded in samples(name):
        pbs.check(recorded, strip=without_numbers)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pbs]:
    """Jobs in the states of the recording: running, queued, never to run, held, waiting."""
    with FakeCluster(dialect="pbs", nodes=2, cpus=4, gpus=4, mem_mb=16384, first_job_id=29) as cluster:
        pbs = Pbs(cluster, tmp_path_factory.mktemp("home"))
        pbs.write("long.sh", LONG)
        for recorded, options in STATES.items():
            pbs.ids[recorded] = pbs.out(f"qsub {options} long.sh").partition(".")[0]
        pbs.until_state(pbs.ids["29"], "R")
        yield pbs


def same_year(text: str) -> str:
    return text.replace("202911240438", "202611240438")


@pytest.mark.parametrize(
    "command",
    [
        s.command for s in samples("03")
        if s.command.startswith("qstat") and "-Q" not in s.command and "-B" not in s.command
    ],
)  # fmt: skip
def test_qstat_shows_states_as_recorded(states: Pbs, command: str) -> None:
    states.check(sample("03", command), strip=same_year)


def test_nodes_are_shown_as_recorded(states: Pbs) -> None:
    def strip(text: str) -> str:
        return re.sub(r'("pcpus":\t|pcpus = )\d+|(last_\w+ = ).*', r"\1\2N", text)

    for command in ("pbsnodes -a", "pbsnodes -a -F json", "pbsnodes -aSj"):
        recorded = sample("03", command)
        states.check(recorded, strip=strip)


def test_queues_and_server_are_shown_as_recorded(states: Pbs) -> None:
    def strip(text: str) -> str:
        return re.sub(r"(pbs01 +0) +\d+", r"\1 N", text).replace('"2048mb"', '"2gb"')

    for command in ("qstat -Q", "qstat -Q -f -F json workq", "qstat -B"):
        states.check(sample("03", command), strip=strip)


def test_long_lines_are_broken_as_recorded() -> None:
    def pairs(text: str) -> dict[str, str]:
        return dict(line[4:].split(" = ", 1) for line in text.splitlines() if line.startswith("    "))

    wide, narrow = sample("03", "qstat -fw 29.pbs01").out, sample("03", "qstat -f 29.pbs01").out

    assert long_form("Job Id: 29.pbs01", pairs(wide), wide=False) == narrow
    assert long_form("Job Id: 29.pbs01", pairs(wide), wide=True) == wide


def test_json_gives_the_first_id_only_as_recorded(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(first_job_id=1061)
    for recorded, name in (("1061", "a1"), ("1062", "b1"), ("1063", "c1")):
        pbs.ids[recorded] = pbs.out(f"qsub -h -N {name} -- /bin/true").partition(".")[0]
    for recorded in samples("16"):
        if "cut -c" not in recorded.command:
            pbs.check(recorded, strip=same_year)


def test_finished_jobs_are_shown_as_recorded(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(first_job_id=34)
    for number in (9, 15, 11):
        pbs.write(f"kill{number}.sh", f"#!/bin/bash\nkill -{number} $PPID\n")
    jobs = [
        pbs.out(f"qsub {options}")
        for options in (
            "-N ok -- /bin/sh -c 'exit 0'", "-N seven -- /bin/sh -c 'exit 7'", "kill9.sh", "kill15.sh",
            "kill11.sh", "-N nocmd -- /no/such/binary", "-N code <<< 'exit 300'",
        )
    ]  # fmt: skip
    wanted = [brief(s.out) for s in samples("04") if re.match(r"J (3[6-9]|40)\.", s.command)]
    for job in jobs:
        pbs.until_state(job, "F")
    pbs.ids = {"34": jobs[0].partition(".")[0], "35": jobs[1].partition(".")[0]}

    for recorded in samples("04")[:7]:
        if recorded.command.startswith("qstat"):
            pbs.check(recorded, strip=lambda text: re.sub(r"cn01/\d", "cn01/N", text))
    for job, record in zip(jobs[2:], wanted, strict=True):
        found = pbs.job(job)
        assert {
            key: found[key] for key in ("substate", "Exit_status", "run_count", "Rerunable", "Hold_Types")
        } == {key: record[key] for key in ("substate", "Exit_status", "run_count", "Rerunable", "Hold_Types")}
        assert found["comment"].endswith("and failed")
    assert "exec of /no/such/binary failed with error: No such file or directory" in pbs.file(
        f"nocmd.e{jobs[5].partition('.')[0]}"
    )


def test_deletion_answers_as_recorded(pbs: Pbs) -> None:
    lines = {"47": "-h", "34": "-W block=true", "48": "-h", "49": "-h"}
    jobs = {old: pbs.out(f"qsub {options} -- /bin/true") for old, options in lines.items()}
    held, first, second = jobs["47"], jobs["48"], jobs["49"]
    pbs.ids = {old: new.partition(".")[0] for old, new in jobs.items()}
    text = [s for s in samples("04") if s.command.startswith(("qdel", "qstat -x 34"))]
    for recorded in text[[s.command for s in text].index("qdel 47.pbs01") :]:
        if "50.pbs01" not in recorded.command:
            pbs.check(recorded)
    found = pbs.job(held)

    assert (found["job_state"], found["substate"]) == ("F", 91)
    assert "Exit_status" not in found
    assert pbs.state(first) == pbs.state(second) == "F"


PLACED = re.findall(
    r"^## qsub ([^\n]*)\n\$ cat nf\.o(\d+)\n\[stdout\]\n(.*?)\[exit 0\]\n\n"
    r"\$ J \S+\n\[stdout\]\n(\S+ \{.*?)\n",
    recording("09"), re.S | re.M,
)  # fmt: skip


@pytest.mark.parametrize(("options", "job", "output", "record"), PLACED, ids=[p[0] for p in PLACED])
def test_chunks_are_placed_as_recorded(pbs: Pbs, options: str, job: str, output: str, record: str) -> None:
    pbs.write("nf.sh", script("09", "nf.sh"))
    found = pbs.job(pbs.out(f"qsub -N nf -j oe -o nf.out -W block=true {options} nf.sh"))
    wanted = brief(record)

    assert pbs.file("nf.out") == output
    assert {key: normal(str(found[key])) for key in wanted} == {
        key: normal(str(value)) for key, value in wanted.items()
    }


def test_too_many_hosts_never_run_as_recorded(pbs: Pbs) -> None:
    wanted = brief(next(s.out for s in samples("09") if s.command == "J 131.pbs01"))
    found = pbs.job(pbs.out("qsub -l select=3:ncpus=1 -l place=scatter -- /bin/true"))

    assert {key: found[key] for key in wanted} == wanted


def test_tasks_are_spawned_as_recorded(pbs: Pbs) -> None:
    recorded = sample("09", "cat spawn.o*").out
    pbs.write("spawn.sh", "#!/bin/bash\n" + script("09", "spawn.sh").partition("\n")[2])
    pbs.out(
        "qsub -j oe -N spawn -v FOX=1 -W block=true -l select=2:ncpus=2:mpiprocs=2 -l place=scatter spawn.sh"
    )
    output = pbs.file(next(path.name for path in pbs.folder.glob("spawn.o*")))

    assert _tasks(pbs.shown(output)) == _tasks(recorded)


def _tasks(text: str) -> dict[str, list[str]]:
    """Lines below each title, in any order: several write at once."""
    rules = [
        (r"/tmp/fox-fake-[^/]+/node_bin:", ""), (r"/tmp/fox-fake-\S+/aux/", "/var/spool/pbs/aux/"),
        (r"/tmp/fox-fake-\S+/tmp/cn\d\d/", "/var/tmp/"), (r"\b\d+\.pbs01", "N.pbs01"),
        (r"^.*: No such file or directory$", "NAME: No such file or directory"),
        (r"(PBS_JOBCOOKIE=).*", r"\1X"), (r"(PBS_O_HOST=).*", r"\1X"),
        (r"waiting on .*", "waiting"), (r"PBS_TASKNUM=0000000F", "PBS_TASKNUM=00000010"),
    ]  # fmt: skip
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text, flags=re.M)
    parts = [part.splitlines() for part in re.split(r"^== ", text, flags=re.M) if part.strip()]
    kept = {
        part[0][:40]: [w for w in part[1:] if w and not re.search("FOX_FAKE|waiting", w)] for part in parts
    }
    return {title: sorted(lines) for title, lines in kept.items() if "grep -c PBS_" not in title}


def test_arrays_are_shown_as_recorded(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(first_job_id=140, kill_wait_s=0.2)
    # The recorded one sleeps for 4 s; this one runs until it is told to end.
    body = script("11", "arr.sh").replace("sleep 4", "until [ -e $PBS_O_HOME/go ]; do sleep 0.05; done")
    pbs.write("arr.sh", body)
    found = {s.command: s for s in reversed(samples("11"))}
    pbs.check(found["qsub -N arr -J 0-3 arr.sh"])
    pbs.until(lambda: "Running:4" in str(pbs.job("140[]").get("array_state_count")))
    running = ["qstat 140[].pbs01", "qstat -t 140[].pbs01", "qstat -J", "qstat '140[1].pbs01'",
               "qstat -f -F json 140[].pbs01"]  # fmt: skip
    for command in running:
        pbs.check(found[command])
    pbs.check(found["qdel '140[2]'"])
    pbs.until(lambda: pbs.state("140[2]") == "X")
    pbs.write("go", "")
    pbs.until_state("140[]", "F")
    over = ["qstat -x 140[].pbs01", "qstat -xt 140[].pbs01", "qstat -x '140[3].pbs01'", "ls -1 arr.o* arr.e*",
            "qstat '140[77].pbs01'", "qstat -x '140[]'", "qstat -f -F json '140[1].pbs01'"]  # fmt: skip
    for command in over:
        pbs.check(found[command])
    records = [s.out for s in samples("11") if s.command == "J '140[].pbs01'"][1]
    for line in records.splitlines():
        wanted, ours = brief(line), pbs.job(line.split()[0])
        assert {key: normal(pbs.shown(str(ours.get(key)))) for key in wanted} == {
            key: normal(str(value)) for key, value in wanted.items()
        }
    assert (
        re.sub(r"/tmp/fox-\S+/aux", "/var/spool/pbs/aux", pbs.file("arr.o140.1"))
        == sample("11", "cat arr.o140.1").out
    )


def test_a_server_that_is_down_or_keeps_no_history_answers_as_recorded(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(first_job_id=164, accounting=False)
    pbs.write("job.sh", LONG)
    pbs.out("qsub -W block=true -- /bin/true")
    pbs.out("qsub -h job.sh")
    recorded = samples("14")
    for one in recorded[[s.command for s in recorded].index("qstat 164.pbs01") :]:
        if one.command == "qstat 165.pbs01" and one.code == 0:
            break
        if "165" in one.command or one.command == "qsub job.sh":
            assert pbs.cluster._process is not None
            pbs.cluster._process.kill()
            pbs.cluster._process.wait()
        pbs.check(one)


def test_json_values_look_like_json_as_recorded(pbs: Pbs) -> None:
    pbs.write("env.sh", "env\n")
    job = pbs.out("qsub -N env7 -W block=true -j oe -v 'NUM=007,EXP=1e5,T=true,N=null,EMPTY=' env.sh")
    shown = pbs.ask("qstat", "-x", "-f", "-F", "json", job)["out"]
    recorded = sample("05", r"""qstat -x -f -F json 73.pbs01 | grep -E 'NUM|EXP|"T"|"N"|EMPTY'""").out

    assert [w for w in shown.splitlines() if re.search(r'"(NUM|EXP|T|N|EMPTY)"', w)] == recorded.splitlines()[
        :5
    ]
    assert json.loads(shown)["Jobs"][job]["Variable_List"]["NUM"] == 7
