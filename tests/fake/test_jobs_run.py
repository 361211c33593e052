"""Jobs and steps really run, with the environment and the exit codes of the real thing."""

from __future__ import annotations

import time
from typing import Any


def test_sbatch_wait_gives_the_jobs_exit_code(shell: Any) -> None:
    done = shell.run("sbatch --wait -o /dev/null --wrap 'exit 7'")

    assert done.returncode == 7
    assert done.stdout.startswith("Submitted batch job ")


def test_the_script_is_copied_at_submit(shell: Any) -> None:
    job = shell.submit("--hold", "echo first")
    (shell.folder / "body.sh").write_text("#!/bin/sh\necho second\n")
    shell.out(f"scontrol release {job}")
    shell.until_state(job, "COMPLETED")

    assert shell.output(job) == "first\n"


def test_script_may_come_on_stdin(shell: Any) -> None:
    shell.out("printf '#!/bin/sh\\n#SBATCH -J from-stdin\\necho $SLURM_JOB_NAME' | sbatch --wait -o in.txt")

    assert (shell.folder / "in.txt").read_text() == "from-stdin\n"


def test_directives_may_be_quoted_and_several_on_a_line(shell: Any) -> None:
    (shell.folder / "job.sh").write_text(
        "#!/bin/bash\n\n# a comment\n#SBATCH --comment='two words' -N 2 # why\n#SBATCH -J 'a b'\n"
        "echo $SLURM_NNODES $SLURM_JOB_NAME\n#SBATCH -N 3\n"
    )
    job = shell.out("sbatch --parsable --wait -o d.txt job.sh")

    assert (shell.folder / "d.txt").read_text() == "2 a b\n"
    assert "Comment=two words" in shell.out(f"scontrol show job {job}")


def test_the_command_line_wins_over_the_environment_and_that_over_the_script(shell: Any) -> None:
    (shell.folder / "job.sh").write_text("#!/bin/bash\n#SBATCH -J script -p debug -t 5\nsleep 60\n")
    job = shell.out("sbatch --parsable -o /dev/null -J line job.sh",
                    SBATCH_JOB_NAME="env", SBATCH_PARTITION="low")  # fmt: skip

    assert shell.out(f"squeue -h -j {job} -o '%j %P %l'") == "line low 5:00"


def test_every_task_of_a_multi_node_step_sees_its_own_node(shell: Any) -> None:
    job = shell.submit(
        "-N2 --ntasks-per-node=2 --wait",
        "srun sh -c 'echo $SLURM_PROCID $SLURM_NODEID $SLURM_LOCALID $(hostname) $HOSTNAME "
        "$SLURM_NTASKS $SLURM_STEP_NODELIST $SLURM_GTIDS' | sort",
    )

    assert shell.output(job).splitlines() == [
        "0 0 0 node1 node1 4 node[1-2] 0,1",
        "1 0 1 node1 node1 4 node[1-2] 0,1",
        "2 1 0 node2 node2 4 node[1-2] 2,3",
        "3 1 1 node2 node2 4 node[1-2] 2,3",
    ]


def test_a_batch_job_has_the_documented_variables(shell: Any) -> None:
    job = shell.submit("-N2 -n3 -c2 --wait --gres=gpu:1 -J named", "env")
    env = dict(line.split("=", 1) for line in shell.output(job).splitlines() if "=" in line)

    expected = {
        "SLURM_JOB_ID": job, "SLURM_JOBID": job, "SLURM_NNODES": "2", "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NTASKS": "3", "SLURM_TASKS_PER_NODE": "2,1",
        "SLURM_CPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "2", "SLURM_SUBMIT_DIR": str(shell.folder),
        "SLURM_JOB_PARTITION": "batch", "SLURMD_NODENAME": "node1", "SLURM_NODEID": "0",
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_CLUSTER_NAME": "fox", "SLURM_JOB_NAME": "named",
        "CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "0", "HOSTNAME": "node1",
    }  # fmt: skip
    assert {name: env.get(name) for name in expected} == expected


def test_two_jobs_on_one_node_get_different_gpus(shell: Any) -> None:
    jobs = [
        shell.submit("-w node3 --gpus-per-node=1", "echo gpu=$CUDA_VISIBLE_DEVICES; sleep 60") for _ in "ab"
    ]
    shell.until(lambda: all(shell.output(job) for job in jobs))

    assert sorted(shell.output(job).strip() for job in jobs) == ["gpu=0", "gpu=1"]


def test_kill_on_bad_exit_ends_the_other_tasks(shell: Any) -> None:
    started = time.monotonic()
    done = shell.run(
        "srun -N2 --kill-on-bad-exit=1 sh -c 'if [ $SLURM_PROCID = 1 ]; then exit 3; fi; sleep 100'"
    )

    assert done.returncode == 143
    assert "srun: error: node2: task 1: Exited with exit code 3" in done.stderr
    assert "srun: error: node1: task 0: Terminated" in done.stderr
    assert time.monotonic() - started < 30


def test_label_puts_the_tasks_number_before_each_line(shell: Any) -> None:
    out = shell.out("srun -N2 --label sh -c 'echo one; printf two'")

    assert sorted(out.splitlines()) == ["0: one", "0: two", "1: one", "1: two"]


def test_every_task_gets_all_of_stdin(shell: Any) -> None:
    assert shell.out("echo hello | srun -n3 cat").split() == ["hello"] * 3


def test_output_patterns_make_a_file_for_each_task(shell: Any) -> None:
    shell.out("srun -J pat -N2 -o %x-%t-%N-%s.log hostname")

    assert {p.name: p.read_text().strip() for p in shell.folder.glob("pat-*")} == {
        "pat-0-node1-0.log": "node1", "pat-1-node2-0.log": "node2",
    }  # fmt: skip


def test_a_second_step_waits_until_the_first_has_ended(shell: Any) -> None:
    job = shell.submit(
        "-n1 --wait",
        "srun sh -c 'touch up; sleep 0.5; echo first' & until [ -e up ]; do sleep 0.02; done; "
        "srun echo second; wait",
    )

    lines = shell.output(job).splitlines()
    assert [line for line in lines if line in ("first", "second")] == ["first", "second"]
    assert any("step creation temporarily disabled" in line for line in lines)


def test_an_overlapping_step_does_not_wait(shell: Any) -> None:
    job = shell.submit(
        "-n1 --wait",
        "srun sh -c 'touch up; until [ -e go ]; do sleep 0.02; done; echo first' & "
        "until [ -e up ]; do sleep 0.02; done; srun --overlap echo second; touch go; wait",
    )

    assert shell.output(job).splitlines() == ["second", "first"]


def test_a_step_may_not_have_more_nodes_than_its_job(shell: Any) -> None:
    job = shell.submit("-N2 --wait", "srun -N3 hostname; echo exit $?")

    assert shell.output(job).splitlines()[-2:] == [
        "srun: error: Only allocated 2 nodes asked for 3", "exit 1",
    ]  # fmt: skip


def test_a_step_that_outlives_its_tasks_is_killed_with_them(shell: Any) -> None:
    out = shell.out("srun sh -c 'setsid sleep 1000 > /dev/null 2>&1 & echo $!'")

    assert not shell.is_alive(int(out))


def test_nothing_outlives_its_job(shell: Any) -> None:
    job = shell.submit("--wait", "setsid sleep 1000 > /dev/null 2>&1 & echo $!")

    assert not shell.is_alive(int(shell.output(job)))


def test_a_job_whose_output_cannot_be_written_fails_with_0_53(shell: Any) -> None:
    job = shell.out("sbatch --parsable -o /nosuch/%j.out --wrap true")
    shell.until_state(job, "FAILED")

    assert shell.out(f"sacct -nP -o State,ExitCode -j {job}") == "FAILED|0:53\nCANCELLED|0:53"


def test_a_script_with_a_missing_interpreter_says_so(shell: Any) -> None:
    (shell.folder / "bad.sh").write_text("#!/no/such/shell\n")
    done = shell.run("sbatch --wait -o bad.txt bad.sh")

    assert done.returncode == 2
    assert "execve()" in (shell.folder / "bad.txt").read_text()


def test_open_mode_append_keeps_what_was_there(shell: Any) -> None:
    (shell.folder / "log.txt").write_text("old\n")
    shell.out("sbatch --wait -o log.txt --open-mode=append --wrap 'echo new'")

    assert (shell.folder / "log.txt").read_text() == "old\nnew\n"


def test_programs_without_a_controller_say_that_it_cannot_be_reached(shell: Any) -> None:
    done = shell.run("sbatch --wrap true", FOX_FAKE_SPOOL="/nosuch")

    words = "Batch job submission failed: Unable to contact slurm controller (connect failure)"
    assert (done.returncode, done.stderr) == (1, f"sbatch: error: {words}\n")
