"""A job's life on the fake PBS: its environment, output, signals, limits, requeue, dependencies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from pbs_recordings import Pbs, sample, samples
from waiting import lives, words_of

SIGNALS = """
import os, signal, sys, time
log = open(os.path.expanduser(f"~/{sys.argv[1]}.log"), "a")
def say(words): print(words, file=log, flush=True)
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda n, frame: say(signal.Signals(n).name))
say(f"leads {os.getpid() == os.getsid(0)}")
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def signalled(pbs: Pbs) -> Pbs:
    """A cluster with a program in its home folder that notes which signals it gets."""
    pbs.write("sig.py", SIGNALS)
    return pbs


def python(name: str) -> str:
    return f"/usr/bin/env python3 $HOME/sig.py {name}"


def heard(pbs: Pbs, name: str) -> list[str]:
    return pbs.file(f"{name}.log").split("\n")[:-1]


def test_a_job_sees_the_recorded_variables(pbs: Pbs) -> None:
    pbs.out(
        "qsub -N env1 -j oe -o env.out -W block=true -v FOX=1,BAR='two words' <<< env", LEAK="1", SLURM_X="1"
    )
    found = dict(line.split("=", 1) for line in pbs.file("env.out").splitlines())
    recorded = sample("05", "cat env1.o*").out
    names = {line.split("=", 1)[0] for line in recorded.splitlines()} - {"MANPATH", "PYTHONPATH"} | {
        "PBS_JOBCOOKIE"
    }
    ours = {name for name in found if not name.startswith("FOX_FAKE")}

    assert ours == names
    assert (found["FOX"], found["BAR"], found["PWD"]) == ("1", "two words", str(pbs.folder))
    assert found["PATH"].endswith(str(pbs.cluster.bin))
    assert found["PBS_O_PATH"].startswith(str(pbs.cluster.bin))


LISTED = [
    (asked.command.partition(" -v ")[2], shown.out)
    for asked, shown in pairwise(samples("05"))
    if re.match("qsub -N env[3-6] ", asked.command)
]


@pytest.mark.parametrize(("listed", "wanted"), LISTED)
def test_listed_values_arrive_as_recorded(pbs: Pbs, listed: str, wanted: str) -> None:
    pbs.write("env.sh", "env\n")
    pbs.out(f"qsub -j oe -o env.out -W block=true -v {listed}")

    assert set(wanted.splitlines()) <= set(pbs.file("env.out").splitlines())


def test_an_unset_variable_cannot_be_listed(pbs: Pbs) -> None:
    recorded = sample("05", "qsub -N env8 -j oe -v NOTSET env.sh")
    pbs.write("env.sh", "env\n")

    pbs.check(recorded)


def test_all_variables_are_handed_on_when_asked(pbs: Pbs) -> None:
    pbs.out("export SECRET=s3 COMMA=a,b; qsub -V -o env.out -W block=true -- /usr/bin/env")

    assert {"SECRET=s3", "COMMA=a,b"} <= set(pbs.file("env.out").splitlines())
    assert f":{pbs.cluster.bin}:" in next(
        w for w in pbs.file("env.out").splitlines() if w.startswith("PATH=")
    )


def test_a_command_gets_no_login_shell_and_a_plain_path(pbs: Pbs) -> None:
    pbs.out(
        "qsub -o env.out -W block=true -- /bin/sh -c 'echo $PATH; ps -o pid=,sid= -p $$; which qstat; true'"
    )
    path, pids = pbs.file("env.out").splitlines()

    assert path.endswith("/node_bin:/bin:/usr/bin")
    assert len(set(pids.split())) == 1


def test_a_script_is_run_by_a_login_shell_from_its_copy(pbs: Pbs) -> None:
    pbs.write(
        "tree.sh", '#!/bin/bash\necho $0; ps -o args= -p $PPID; umask; pwd; hostname; cat "$PBS_NODEFILE"\n'
    )
    job = pbs.out("mkdir sub; cd sub; qsub -W block=true -o ../out.txt ../tree.sh")
    copy, parent, *rest = pbs.file("out.txt").splitlines()

    assert copy.endswith(f"/{job}.SC")
    assert parent == "-bash"
    assert rest == ["0077", str(pbs.folder), "cn01", "cn01"]


def test_the_script_is_copied_when_submitted(pbs: Pbs) -> None:
    pbs.write("job.sh", "echo first\n")
    job = pbs.out("qsub -h -o out.txt job.sh")
    pbs.write("job.sh", "echo second\n")
    pbs.out(f"qrls {job}")
    pbs.until_state(job, "F")

    assert pbs.file("out.txt") == "first\n"


def test_directives_may_be_several_glued_and_quoted(pbs: Pbs) -> None:
    pbs.write(
        "job.sh",
        "#!/bin/sh\n#PBS -N name -l select=1:ncpus=2,walltime=60 -joe\n#PBS -v 'A=x y'\necho\n#PBS -A no\n",
    )
    found = pbs.job(pbs.out("qsub -h -l walltime=30 job.sh"))

    assert (found["Job_Name"], found["Join_Path"], found["Variable_List"]["A"]) == ("name", "oe", "x y")
    assert found["Resource_List"] == {
        "ncpus": 2,
        "nodect": 1,
        "place": "free",
        "select": "1:ncpus=2",
        "walltime": "00:00:30",
    }
    assert "Account_Name" not in found


def test_output_appears_at_the_end_unless_kept_in_place(pbs: Pbs) -> None:
    body = "echo o1; echo e1 >&2; until [ -e go ]; do sleep 0.02; done; echo o2"
    late = pbs.out(f"qsub -o late.out -e late.err <<< '{body}'")
    early = pbs.out(f"qsub -k oed -o early.out -e early.err <<< '{body}'")
    pbs.until(lambda: pbs.file("early.out") == "o1\n" and pbs.file("early.err") == "e1\n")

    assert not (pbs.folder / "late.out").exists()
    pbs.write("go", "")
    for job in (late, early):
        pbs.until_state(job, "F")
    assert pbs.file("late.out") == pbs.file("early.out") == "o1\no2\n"
    assert pbs.file("late.err") == "e1\n"
    assert (pbs.folder / "late.out").stat().st_mode & 0o777 == 0o600


def test_output_goes_to_a_folder_or_gets_lost(pbs: Pbs) -> None:
    (pbs.folder / "out").mkdir()
    job = pbs.out("qsub -W block=true -o out -e out <<< 'echo hi'")
    lost = pbs.out("qsub -W block=true -o no/such/x -e /dev/null <<< 'echo lost'")
    literal = pbs.out("qsub -W block=true -j oe -o 'out/$PBS_JOBID.%j' <<< 'echo literal'")

    assert pbs.file(f"out/{job}.OU") == "hi\n"
    assert pbs.file("out/$PBS_JOBID.%j") == "literal\n"
    found = pbs.job(lost)
    assert (found["Stageout_status"], found["Exit_status"], pbs.job(literal)["Stageout_status"]) == (0, 0, 1)


def test_the_login_shell_dies_of_a_signal_that_a_command_survives(signalled: Pbs) -> None:
    pbs = signalled
    script = pbs.out(f"qsub <<< 'trap : USR2; {python('script')}'")
    command = pbs.out(f"qsub -- /bin/sh -c 'exec {python('command')}'")
    for job, name in ((script, "script"), (command, "command")):
        pbs.until(lambda name=name: heard(pbs, name))  # type: ignore[misc]
        pbs.out(f"qsig -s SIGUSR2 {job}")
    found = pbs.until_state(script, "F")
    pbs.until(lambda: "SIGUSR2" in heard(pbs, "command"))

    assert (found["Exit_status"], found["substate"]) == (268, 93)
    # What the login shell leaves is killed at once, and may not have come to say that it heard the signal.
    assert heard(pbs, "script")[0] == "leads False"
    assert pbs.state(command) == "R"
    assert heard(pbs, "command") == ["leads True", "SIGUSR2"]


def test_signals_are_refused_as_recorded(pbs: Pbs) -> None:
    running, held = pbs.out("qsub -- /bin/sleep 99"), pbs.out("qsub -h -- /bin/true")
    pbs.until_state(running, "R")
    answers = [pbs.run(f"qsig -s {words}") for words in
               (f"suspend {running}", f"NOSUCH {running}", "TERM 999999", f"TERM {held}")]  # fmt: skip

    said = [done.stderr.replace(running, "ID").replace(held, "ID") for done in answers]
    assert list(zip(said, [done.returncode for done in answers], strict=True)) == [
        ("qsig: Unauthorized Request  ID\n", 159), ("qsig: Unknown/illegal signal name ID\n", 165),
        ("qsig: Unknown Job Id 999999.pbs01\n", 153), ("qsig: Request invalid for state of job ID\n", 168),
    ]  # fmt: skip


def test_a_deleted_job_gets_term_and_then_kill(signalled: Pbs) -> None:
    job = signalled.out(f"qsub -- /bin/sh -c 'exec {python('main')}'")
    signalled.until(lambda: heard(signalled, "main"))
    assert signalled.run(f"qdel {job}").returncode == 0
    during = signalled.job(job)
    found = signalled.until_state(job, "F")

    assert during["job_state"] == "R"
    assert "terminated by alice@" in during["comment"]
    assert (found["Exit_status"], found["substate"]) == (265, 91)
    assert heard(signalled, "main") == ["leads True", "SIGTERM"]


def test_a_job_over_its_walltime_ends_with_minus_29_even_if_it_ends_well(pbs: Pbs) -> None:
    good = pbs.out(
        "qsub -l walltime=1 -e good.err -- /bin/sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.05; done'"
    )
    found = pbs.until_state(good, "F")

    assert (found["Exit_status"], found["substate"]) == (-29, 93)
    assert found["comment"].endswith("and exceeded resource walltime")
    assert re.search(r"^=>> PBS: job killed: walltime \d+ exceeded limit 1$", pbs.file("good.err"), re.M)


def test_tasks_elsewhere_hear_no_signal_and_are_killed_at_the_end(signalled: Pbs) -> None:
    pbs = signalled
    body = f"trap : USR2; pbs_tmrsh cn02 {python('remote')} & {python('main')}"
    job = pbs.out(
        f"qsub -l select=2:ncpus=1 -l place=scatter -- /bin/bash -c 'PATH=$PATH:{pbs.cluster.bin}; {body}'"
    )
    pbs.until(lambda: heard(pbs, "main") and heard(pbs, "remote"))
    tasks = [process for process in psutil.process_iter() if "remote" in words_of(process)]
    pbs.out(f"qsig -s USR2 {job}; qdel {job}")
    pbs.until_state(job, "F")

    assert heard(pbs, "remote") == ["leads True"]
    assert heard(pbs, "main") == ["leads False", "SIGUSR2", "SIGTERM"]
    assert tasks
    assert not any(lives(task.pid) for task in tasks)


def test_a_task_goes_on_when_its_launcher_is_killed(pbs: Pbs) -> None:
    body = """pbs_tmrsh cn02 /bin/sh -c 'touch up; until [ -e go ]; do sleep 0.02; done; echo done > done' &
until [ -e up ]; do sleep 0.02; done; kill -9 $!; wait $!; echo "launcher $?"; touch go
until [ -e done ]; do sleep 0.02; done"""
    pbs.write("job.sh", f"#!/bin/bash\n{body}\n")
    pbs.out("qsub -W block=true -o out.txt -l select=2:ncpus=1 -l place=scatter job.sh")

    assert pbs.file("out.txt") == "launcher 137\n"
    assert pbs.file("done") == "done\n"


def test_what_a_task_prints_goes_to_the_job_not_to_the_launcher(pbs: Pbs) -> None:
    pbs.write(
        "job.sh",
        "#!/bin/bash\npbs_tmrsh cn01 echo hello > caught; pbsdsh -- sh -c 'echo oops >&2' 2> caught\n",
    )
    pbs.out("qsub -W block=true -o out.txt -e err.txt job.sh")

    assert (pbs.file("caught"), pbs.file("out.txt"), pbs.file("err.txt")) == ("", "hello\n", "oops\n")


def test_a_process_with_a_session_of_its_own_outlives_its_job(pbs: Pbs) -> None:
    body = """setsid sleep 1000 & p=$!
until [ "$(ps -o sid= -p $p | tr -d " ")" = $p ]; do sleep 0.02; done
echo $p
"""
    pbs.write("job.sh", body)
    pbs.out("qsub -W block=true -o out.txt job.sh")
    process = psutil.Process(int(pbs.file("out.txt")))

    assert process.is_running()
    process.kill()


def test_no_process_escapes_where_there_are_cgroups(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(cgroups=True)
    options = "-W block=true -l select=1:ngpus=2"
    pbs.out(f"qsub {options} -o out.txt <<< 'setsid sleep 1000 & echo $! $CUDA_VISIBLE_DEVICES'")
    pid, gpus = pbs.file("out.txt").split()

    assert gpus == "0,1"
    assert not lives(int(pid))


def test_a_requeued_job_runs_again_under_its_id(pbs: Pbs) -> None:
    job = pbs.out("qsub -j oe -o out.txt <<< 'echo run; [ -e go ] || sleep 1000'")
    pbs.until_state(job, "R")
    assert pbs.run(f"qrerun {job}").stderr == f"qrerun: Unauthorized Request  {job}\n"
    pbs.write("go", "")
    assert pbs.manage(f"qrerun {job}").returncode == 0
    found = pbs.until_state(job, "F")

    assert (found["run_count"], found["Exit_status"]) == (2, 0)


def test_a_job_that_may_not_run_again_is_not_requeued(pbs: Pbs) -> None:
    job = pbs.out("qsub -r n -- /bin/sleep 99")
    pbs.until_state(job, "R")
    done = pbs.manage(f"qrerun {job}")

    assert (done.stderr, done.returncode) == (f"qrerun: job is not rerunnable {job}\n", 190)


@pytest.mark.parametrize("mode", ["requeue", "cancel"])
def test_a_job_gives_way_to_an_express_one(pbs_with: Callable[..., Pbs], mode: str) -> None:
    pbs = pbs_with(preempt_mode=mode)
    low = pbs.out("qsub -l select=2:ncpus=4 -l place=scatter -- /bin/sleep 1000")
    pbs.until_state(low, "R")
    high = pbs.out("qsub -q express -l select=1:ncpus=4 -- /bin/sleep 1000")
    pbs.until_state(high, "R")
    found = pbs.until_state(low, "Q", "F")

    if mode == "requeue":
        assert (found["job_state"], found["Exit_status"], found["run_count"]) == ("Q", -11, 1)
        assert found["comment"] == "Not Running: Not enough free nodes available"
        pbs.out(f"qdel {high}")
        assert "Exit_status" not in pbs.until_state(low, "R")
    else:
        assert (found["job_state"], found["substate"]) == ("F", 91)
        assert found["comment"].endswith("terminated by Scheduler@pbs01")


def test_a_job_is_suspended_while_an_express_one_runs(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(preempt_mode="suspend")
    body = "while :; do date +%s.%N >> beats; sleep 0.02; done"
    low = pbs.out(f"qsub -l select=2:ncpus=4 -l place=scatter -l walltime=1000 -- /bin/sh -c '{body}'")
    pbs.until(lambda: pbs.file("beats"))
    high = pbs.out("qsub -q express -l select=1:ncpus=4 -- /bin/sleep 1000")
    pbs.until_state(high, "R")
    found = pbs.until_state(low, "S")
    before = pbs.file("beats")
    assert found["comment"] == "Not Running: Not enough free nodes available"
    assert found["substate"] == 45
    assert pbs.file("beats") == before
    pbs.out(f"qdel {high}")
    pbs.until_state(low, "R")
    pbs.until(lambda: pbs.file("beats") != before)
    assert (pbs.job(low)["run_count"], pbs.job(low)["Resource_List"]["walltime"]) == (1, "00:16:40")


def test_a_manager_suspends_a_job(pbs: Pbs) -> None:
    job = pbs.out("qsub -- /bin/sleep 99")
    pbs.until_state(job, "R")
    assert pbs.manage(f"qsig -s suspend {job}").returncode == 0
    pbs.until_state(job, "S")
    assert pbs.manage(f"qsig -s resume {job}").returncode == 0
    pbs.until_state(job, "R")
    assert pbs.manage(f"qsig -s suspend {job}").returncode == 0
    pbs.out(f"qdel {job}")

    assert pbs.until_state(job, "F")["substate"] == 91


def test_holds_and_changes_answer_as_recorded(pbs: Pbs) -> None:
    job = pbs.out("qsub -l walltime=100 -l select=1:ncpus=1 -- /bin/sleep 99")
    pbs.until_state(job, "R")
    lines = [f"qhold {job}", f"qalter -l walltime=50 {job}", f"qalter -l walltime=500 {job}",
             f"qalter -N new {job}", f"qalter -l select=2:ncpus=1 {job}", "qhold 999999"]  # fmt: skip
    answers = [pbs.run(line) for line in lines]
    found = pbs.job(job)

    assert [(done.stderr.replace(job, "ID"), done.returncode) for done in answers] == [
        ("", 0), ("", 0), ("qalter: Unauthorized Request  ID\n", 159), ("", 0),
        ("qalter: Cannot modify attribute while job running  Resource_List.select ID\n", 167),
        ("qhold: Unknown Job Id 999999.pbs01\n", 153),
    ]  # fmt: skip
    assert (found["Hold_Types"], found["Job_Name"], found["Resource_List"]["walltime"]) == (
        "u",
        "new",
        "00:00:50",
    )
    assert found["comment"].startswith("Job held by alice on ")


def test_dependencies_are_kept_as_recorded(pbs: Pbs) -> None:
    first = pbs.out("qsub -h -- /bin/sh -c 'exit 3'")
    kinds = {
        kind: pbs.out(f"qsub -W depend={kind}:{first} -- /bin/true")
        for kind in ("afterok", "afternotok", "afterany")
    }
    waiting, told = pbs.job(kinds["afterok"]), pbs.job(first)
    pbs.out(f"qrls {first}")
    ended = {kind: pbs.until_state(job, "F") for kind, job in kinds.items()}

    assert (waiting["job_state"], waiting["substate"], waiting["Hold_Types"]) == ("H", 22, "s")
    assert waiting["depend"] == f"afterok:{first}@pbs01"
    assert told["depend"] == ",".join(
        f"{kind.replace('after', 'before')}:{job}@pbs01" for kind, job in kinds.items()
    )
    assert (ended["afterok"]["substate"], "Exit_status" in ended["afterok"]) == (92, False)
    assert [ended[kind]["Exit_status"] for kind in ("afternotok", "afterany")] == [0, 0]


def test_waiting_elements_of_a_deleted_array_never_run(pbs: Pbs) -> None:
    array = pbs.out("qsub -J 1-9:4%1 -o logs.^array_index^ -- /bin/sleep 99")
    number = array.partition("[")[0]
    pbs.until_state(f"{number}[1]", "R")
    during = pbs.job(array)
    pbs.out(f"qdel {array}")
    found = pbs.until_state(array, "F")
    part = pbs.job(f"{number}[5]")

    assert (during["job_state"], during["array_indices_submitted"], during["array_indices_remaining"]) == (
        "B", "1-9:4", "5-9:4",
    )  # fmt: skip
    assert during["array_state_count"] == "Queued:2 Running:1 Exiting:0 Expired:0"
    assert (during["max_run_subjobs"], found["substate"], found["Exit_status"]) == (1, 91, 1)
    assert (part["substate"], part["Exit_status"], part["comment"]) == (91, 1, "Subjob finished")
    assert [path.name for path in pbs.folder.glob("logs.*")] == ["logs.1"]


def test_a_job_waits_for_one_element_of_an_array(pbs: Pbs) -> None:
    number = pbs.out("qsub -h -J 0-1 -- /bin/true").partition("[")[0]
    job = pbs.out(f"qsub -W 'depend=afterok:{number}[1]' -- /bin/true")
    assert pbs.state(job) == "H"
    pbs.out(f"qrls '{number}[1]'")
    pbs.until_state(job, "F")

    assert pbs.state(f"{number}[0]") == "H"


def test_a_job_may_have_its_nodes_to_itself(pbs: Pbs) -> None:
    alone = pbs.out("qsub -l select=1:ncpus=1 -l place=excl -- /bin/sleep 99")
    pbs.until_state(alone, "R")
    other = pbs.out("qsub -l select=2:ncpus=1 -l place=scatter -- /bin/sleep 99")

    assert pbs.job(other)["comment"] == "Not Running: Not enough free nodes available"


def test_a_job_inside_a_job_is_submitted(pbs: Pbs) -> None:
    pbs.out("qsub -W block=true -o out.txt <<< 'qsub -h -- /bin/true; qstat --version'")
    inner, version = pbs.file("out.txt").splitlines()

    assert pbs.state(inner) == "H"
    assert version == "pbs_version = 23.06.06"


def test_old_json_is_no_json(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(broken_json=True)
    job = pbs.out("qsub -h -v 'A=007,B=it\"s' -- /bin/true")
    text = pbs.ask("qstat", "-f", "-F", "json", job)["out"]

    assert '"A":\t007' in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert "A=007" in pbs.out(f"qstat -fw {job}")


def test_long_server_names_cut_ids_in_tables_only(pbs_with: Callable[..., Pbs]) -> None:
    pbs = pbs_with(server_name="polaris.alcf.example.org")
    job = pbs.out("qsub -h -- /bin/true")

    assert job.endswith(".polaris.alcf.example.org")
    assert job not in pbs.out("qstat")
    assert re.search(r"^\d+\.polaris\S+\* ", pbs.out("qstat"), re.M)
    assert job in pbs.out("qstat -f")
    assert Path(pbs.out(f"qselect -u alice | grep -c {job}")).name == "1"
