"""bsub takes and refuses as recorded, and hands the job what the real one does."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "lsf"
NOT_HERE = ("bsub -V", "LSF_ENVDIR", 'bsub -w "done(1)"', "bsub -K")
"""Other words by intention, or tested apart with a job of their own."""


def _recorded() -> list[tuple[str, str, str, int]]:
    text = (GOLDEN / "bsub.txt").read_text()
    pattern = r"^\$ (.*?)\n(?:\[stdout\]\n(.*?))?(?:\[stderr\]\n(.*?))?\[exit (\d+)\]\n"
    found = [(m[1], m[2] or "", m[3] or "", int(m[4])) for m in re.finditer(pattern, text, re.S | re.M)]
    return [each for each in found if not each[0].startswith(NOT_HERE)]


def _normal(text: str) -> str:
    """Without ids; of a usage message only what was wrong."""
    return re.sub(r"<\d+>", "<ID>", text.split("Usage:")[0])


def test_submissions_are_answered_as_recorded(lsf: Any) -> None:
    (lsf.folder / "lj.sh").write_text(
        "#!/bin/bash\n#BSUB -J fromdirective\n#BSUB -o lout/%J.out\n#BSUB -W 5\nsleep 2\n"
    )
    (lsf.folder / "lj.sh").chmod(0o755)
    (lsf.folder / "lout").mkdir()
    asked = _recorded()
    assert len(asked) > 20
    for command, out, err, code in asked:
        done = lsf.run(command)
        answer = (_normal(done.stdout), _normal(done.stderr), done.returncode)
        assert answer == (_normal(out), _normal(err), code), command


def test_waiting_gives_the_jobs_exit_code(lsf: Any) -> None:
    done = lsf.run("bsub -K -o k.out sh -c 'exit 5'")

    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "<<Waiting for dispatch ...>>", "<<Starting on node1>>", "<<Job is finished>>",
    ]  # fmt: skip


def test_programs_without_a_cluster_fail_as_recorded(lsf: Any) -> None:
    done = lsf.run("bsub true", FOX_FAKE_SPOOL="/nosuch")

    assert (done.returncode, done.stderr) == (
        255, "lsb_init: Failed in an LSF library call: Unable to open file lsf.conf. Job not submitted.\n",
    )  # fmt: skip


def test_directives_count_in_a_script_on_stdin_only(lsf: Any) -> None:
    script = lsf.folder / "s.sh"
    script.write_text("#!/bin/bash\n#BSUB -n 2 -J 'two words' -P proj # why\necho hi\n#BSUB -q short\n")
    script.chmod(0o755)
    by_stdin = lsf.job_of(lsf.out("bsub -K -o /dev/null < s.sh"))
    by_name = lsf.job_of(lsf.out("bsub -K -o /dev/null ./s.sh"))

    fields = "job_name slots proj queue"
    assert lsf.field(by_stdin, fields) == "two words^2^proj^short"
    assert lsf.field(by_name, fields) == "./s.sh^1^default^normal"


def test_options_may_be_glued_and_the_line_wins_over_the_script(lsf: Any) -> None:
    (lsf.folder / "s.sh").write_text("#BSUB -n4 -Jscript -W 0:10\ntrue\n")
    job = lsf.job_of(lsf.out("bsub -K -o /dev/null -n2 -Jline < s.sh"))

    assert lsf.field(job, "job_name slots runtimelimit") == "line^2^10.0"


def test_the_script_is_copied_at_submit(lsf: Any) -> None:
    job = lsf.submit("-H", "echo first")
    (lsf.folder / "job.sh").write_text("#!/bin/sh\necho second\n")
    lsf.out(f"bresume {job}")
    lsf.until_state(job, "DONE")

    assert lsf.output(job) == "first\n"


ENVIRONMENT = r"""
pwd; echo $LSB_JOBID $LSB_JOBINDEX $LSB_QUEUE $LSB_JOBNAME $LSB_DJOB_NUMPROC; echo "$LSB_HOSTS"
echo "$LSB_MCPU_HOSTS|"; cat "$LSB_DJOB_HOSTFILE"; echo $LS_SUBCWD; echo "$MINE"; hostname
"""


def test_a_job_sees_the_variables_of_the_real_one(lsf: Any) -> None:
    (lsf.folder / "job.sh").write_text("#!/bin/bash\n" + ENVIRONMENT)
    options = '-n 4 -R "span[ptile=2]" -J envjob -K -o out.%J.%I'
    job = lsf.job_of(lsf.out(f"bsub {options} < job.sh", MINE="a, 'b'\n$c"))

    assert lsf.output(job).splitlines() == [
        str(lsf.folder), f"{job} 0 normal envjob 4", "node1 node1 node2 node2", "node1 2 node2 2 |",
        "node1", "node1", "node2", "node2", str(lsf.folder), "a, 'b'", "$c", "node1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("", "keep/lost/"), ("-env all", "keep/lost/"), ("-env none", "//"),
        ("-env 'KEEP, NEW=1'", "keep//1"),
        ("-env \"all, NEW='x,y', ~LOST\"", "keep//x,y"),
    ],
)  # fmt: skip
def test_env_says_what_is_handed_on(lsf: Any, rule: str, seen: str) -> None:
    done = lsf.run(f"bsub -I {rule} 'echo $KEEP/$LOST/$NEW; echo $HOME >&2'", KEEP="keep", LOST="lost")

    handed_on = not rule or "all" in rule
    home = os.environ["HOME"] if handed_on else pwd.getpwuid(os.getuid()).pw_dir
    assert done.stdout.splitlines()[1:] == [seen, home]


def test_an_array_has_one_id_and_indexes(lsf: Any) -> None:
    command = "echo $LSB_JOBID $LSB_JOBINDEX $LSB_JOBNAME"
    job = lsf.job_of(lsf.out(f"bsub -K -J 'arr[1-3]' -o arr.%J.%I '{command}'"))

    assert lsf.field(job, "jobid jobindex job_name stat").splitlines() == [
        f"{job}^{index}^arr[{index}]^DONE" for index in (1, 2, 3)
    ]
    text = (lsf.folder / f"arr.{job}.2").read_text()
    assert f"Subject: Job {job}[2]: <arr[2]> Done\n" in text
    assert text.endswith(f"\n{job} 2 arr[2]\n")


def test_output_is_delivered_at_the_end_with_the_report(lsf: Any) -> None:
    job = lsf.submit("-eo errors", "echo out; echo err >&2; sleep 300")
    lsf.until(lambda: lsf.peek(job) == "out\n")
    assert not (lsf.folder / f"out.{job}.0").exists()
    lsf.out(f"bkill {job}")
    lsf.until_state(job, "EXIT")

    assert lsf.output(job).startswith("out\n\n\nPS:\n\nRead file <errors> for stderr output of this job.")
    assert "err\n" in (lsf.folder / "errors").read_text()


def test_o_appends_and_oo_overwrites(lsf: Any) -> None:
    for option, word in (("-o", "one"), ("-o", "two"), ("-oo", "three")):
        lsf.out(f"bsub -K {option} twice echo {word}")
        text = (lsf.folder / "twice").read_text()
        found = re.findall(r"^(one|two|three)$", text, re.M)
        assert found == {"one": ["one"], "two": ["one", "two"], "three": ["three"]}[word]


def test_a_job_may_write_into_its_file_directly(lsf: Any) -> None:
    lsf.out("bsub -K -o direct echo hello", LSB_STDOUT_DIRECT="Y")
    text = (lsf.folder / "direct").read_text()

    assert text.startswith("hello\n" + "-" * 60 + "\nSender: LSF System")
    assert text.rstrip().endswith("The output (if any) is above this job summary.")


def test_a_missing_output_folder_does_not_fail_the_job(lsf: Any) -> None:
    job = lsf.job_of(lsf.out("bsub -K -o lout/none/x.out echo hi"))

    assert lsf.state(job) == "DONE"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", "7"), ("kill -9 $$", "137"), ("/no/such/binary", "127")]
)
def test_exit_codes_are_those_recorded(lsf: Any, command: str, code: str) -> None:
    job = lsf.job_of(lsf.run(f"bsub -K -o /dev/null sh -c '{command}'").stdout)

    assert lsf.field(job, "stat exit_code") == f"EXIT^{code}"


def test_gpus_are_counted_on_each_host(lsf: Any) -> None:
    done = lsf.run(
        "bsub -I -n 4 -R 'span[ptile=2]' -gpu 'num=2:mode=exclusive_process' "
        '\'blaunch -z "$(uniq $LSB_DJOB_HOSTFILE | xargs)" "echo \\$LSF_PM_TASKID \\$CUDA_VISIBLE_DEVICES"\''
    )

    assert sorted(done.stdout.splitlines()[1:]) == ["1 0,1", "2 0,1"]
