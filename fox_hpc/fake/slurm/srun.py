"""srun, the controller's half: a step in the job it was called in, or a job of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fox_hpc.fake import processes
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress, expand, repeats
from fox_hpc.fake.jobs import RUNNING, Job, Share, Step
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.slurm.environ import clean, exported, job_variables, node_variables
from fox_hpc.fake.slurm.follower import Follower, StepEnd
from fox_hpc.fake.slurm.options import SRUN, parse
from fox_hpc.fake.slurm.patterns import expand_pattern, job_values
from fox_hpc.fake.slurm.requests import Reader
from fox_hpc.fake.slurm.sbatch import VERSION, make_job
from fox_hpc.fake.steps import Placement, StepWant, TooFewCpus, TooFewNodes, cpus_taken, has_room, place

ENV_OPTIONS = {
    "SLURM_EXPORT_ENV": "export", "SLURM_KILL_BAD_EXIT": "kill-on-bad-exit", "SLURM_LABELIO": "label",
    "SLURM_OPEN_MODE": "open-mode", "SLURM_WAIT": "wait", "SRUN_CPUS_PER_TASK": "cpus-per-task",
    "SLURM_OVERLAP": "overlap", "SLURM_EXACT": "exact", "SLURM_PARTITION": "partition",
    "SLURM_TIMELIMIT": "time", "SLURM_ACCOUNT": "account", "SLURM_QOS": "qos",
}  # fmt: skip
IN_JOB_OPTIONS = {"SLURM_NTASKS": "ntasks", "SLURM_NTASKS_PER_NODE": "ntasks-per-node"}


def srun(engine: Engine, request: Request, session: Session) -> None:
    """Run a command on the nodes of a job."""
    options, words = parse(SRUN, request.argv)
    if "version" in options:
        session.reply(VERSION + "\n")
        return
    if not words:
        raise Refused("srun: fatal: No command given to execute.")
    inside = options.get("jobid") or request.env.get("SLURM_JOB_ID", "")
    from_env = dict(ENV_OPTIONS) | (IN_JOB_OPTIONS if inside else {})
    given = {option: request.env[name] for name, option in from_env.items() if request.env.get(name)}
    if "nodes" in options and "ntasks-per-node" in options and "ntasks" not in options:
        given.pop("ntasks", None)
    call = _Call(engine, request, session, words, {**given, **options})
    if not inside:
        call.allocate()
        return
    found = [job for job in engine.find(inside) if job.state == RUNNING]
    if not found:
        raise Refused("srun: error: Unable to confirm allocation for job "
                      f"{inside}: Invalid job id specified")  # fmt: skip
    call.run_in(found[0])


@dataclass
class _Call:
    engine: Engine
    request: Request
    session: Session
    words: list[str]
    options: dict[str, str]
    own_job: bool = False
    said_busy: bool = False

    def allocate(self) -> None:
        """Make a job for this one step, and wait for its nodes."""
        warnings: list[str] = []
        reader = Reader("srun", self.options, 1)
        job = make_job(self.engine, self.request, reader, Path(self.words[0]).name, warnings)
        job.batch, job.command = False, self.words[0]
        job = self.engine.submit(job)
        self.own_job = True
        queued = [False]

        def still_waiting() -> None:
            if job.state == "PENDING":
                queued[0] = True
                self._say(f"srun: job {job.id} queued and waiting for resources")

        def started() -> None:
            if queued[0]:
                self._say(f"srun: job {job.id} has been allocated resources")
            self.session.listen(lambda message: None, lambda: None)
            self._try(job)

        self._say(*(f"srun: Warning: {line}" for line in warnings))
        self.engine.when_started(job, started)
        self.session.listen(lambda message: None, lambda: self.engine.cancel(job, self.request.uid))
        self.engine.when_over(job, lambda _: self._revoked(job))
        self.engine.loop.later(0, still_waiting)

    def _revoked(self, job: Job) -> None:
        if not job.started:
            self.session.reply(err=f"srun: Job allocation {job.id} has been revoked\n", code=1)

    def run_in(self, job: Job) -> None:
        self._try(job)

    def _try(self, job: Job) -> None:
        try:
            self._place(job)
        except Refused as refusal:
            if self.own_job:
                self.engine.runner.allocation_ended(job, 1, 0)
            self.session.reply(err=refusal.words + "\n", code=refusal.code)

    def _want(self, job: Job) -> StepWant:
        reader, options = Reader("srun", self.options, 1), self.options
        want = reader.want()
        nodes = want.nodes
        if want.ntasks and max(nodes, 0 if nodes else len(job.nodes)) > want.ntasks:
            asked = nodes or len(job.nodes)
            self._say(f"srun: Warning: can't run {want.ntasks} processes on {asked} nodes, "
                      f"setting nnodes to {want.ntasks}")  # fmt: skip
            nodes = want.ntasks
        if nodes > len(job.nodes):
            raise Refused(f"srun: error: Only allocated {len(job.nodes)} nodes asked for {nodes}")
        return StepWant(
            nodes=nodes, ntasks=want.ntasks, ntasks_per_node=want.ntasks_per_node,
            cpus_per_task=want.cpus_per_task, exact="exact" in options, overlap="overlap" in options,
            overcommit="overcommit" in options, require=tuple(expand(options.get("nodelist", ""))),
            exclude=tuple(expand(options.get("exclude", ""))),
        )  # fmt: skip

    def _place(self, job: Job) -> None:
        want = self._want(job)
        cannot = f"srun: error: Unable to create step for job {job.id}: "
        try:
            placement = place(job, want)
        except TooFewNodes:
            raise Refused(cannot + "Requested node configuration is not available") from None
        except TooFewCpus:
            raise Refused(cannot + "More processors requested than permitted") from None
        taken = cpus_taken(placement, want)
        if has_room(job, taken):
            self._create(job, want, placement, taken)
        elif "immediate" in self.options:
            raise Refused(cannot + "Requested nodes are busy")
        else:
            self._wait_for_room(job)

    def _wait_for_room(self, job: Job) -> None:
        if not self.said_busy:
            self.said_busy = True
            self._say(
                f"srun: Job {job.id} step creation temporarily disabled, retrying (Requested nodes are busy)"
            )
        waiting = [True]
        self.session.listen(lambda message: None, lambda: waiting.__setitem__(0, False))

        def again() -> None:
            if waiting[0] and job.state == RUNNING:
                self._try(job)
            elif waiting[0]:
                self.session.reply(err="srun: error: Job step creation cancelled\n", code=1)

        self.engine.when_room(job, again)

    def _create(self, job: Job, want: StepWant, placement: Placement, taken: dict[str, int]) -> None:
        step = Step(job.next_step, self.options.get("job-name", Path(self.words[0]).name),
                    [share.node for share, _ in placement], self.engine.now(), taken,
                    sum(tasks for _, tasks in placement))  # fmt: skip
        job.next_step += 1
        job.steps.append(step)
        if self.said_busy:
            self._say(f"srun: Step created for StepId={job.id}.{step.id}")
        follower = Follower(self.engine, StepEnd(self.session, self.own_job), job, step)
        self.engine.runner.add_step(job, step, self.session)
        self.session.listen(follower.hear, follower.gone)
        self.engine.note(job)
        self.session.tell({"launch": self._plan(job, step, want, placement)})

    def _plan(self, job: Job, step: Step, want: StepWant, placement: Placement) -> dict[str, Any]:
        options = self.options
        mode = options.get("open-mode", "t")[:1]
        return {
            "step": f"StepId={job.id}.{step.id}",
            "argv": self.words,
            "cwd": str(Path(self.request.cwd, options.get("chdir", ""))),
            "env": self._environment(job, step, want, placement),
            "tasks": self._tasks(job, step, placement),
            "label": options.get("label", "0") not in ("0",) or "label" in options,
            "mode": "ab" if mode == "a" else "wb",
            "kill_on_bad_exit": options.get("kill-on-bad-exit", "0") != "0",
            "wait": int(options.get("wait") or 0),
            "stdin": options.get("input", "all"),
        }

    def _environment(self, job: Job, step: Step, want: StepWant, placement: Placement) -> dict[str, str]:
        """What all tasks share. Unlike a batch job, a step gets no login variables."""
        env = exported(clean(self.request.env), self.options.get("export"), {})
        env.pop("SLURM_GET_USER_ENV", None)
        counts = [tasks for _, tasks in placement]
        names = compress(step.nodes)
        env |= job_variables(self.engine.config, self.engine.folder, job)
        env |= {
            "SLURM_STEP_ID": str(step.id), "SLURM_STEPID": str(step.id),
            "SLURM_STEP_NODELIST": names, "SLURM_STEP_NUM_NODES": str(len(step.nodes)),
            "SLURM_STEP_NUM_TASKS": str(step.tasks), "SLURM_STEP_TASKS_PER_NODE": repeats(counts),
            "SLURM_NODELIST": names, "SLURM_NNODES": str(len(step.nodes)),
            "SLURM_NTASKS": str(step.tasks), "SLURM_NPROCS": str(step.tasks),
            "SLURM_TASKS_PER_NODE": repeats(counts), "SLURM_DISTRIBUTION": "block",
            "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1", "SLURM_SRUN_COMM_HOST": "127.0.0.1",
            processes.TAG: f"{self.engine.runner.cluster}:{job.id}",
            processes.STEP_TAG: f"{job.id}.{step.id}",
        }  # fmt: skip
        if want.cpus_per_task:
            env["SLURM_CPUS_PER_TASK"] = str(want.cpus_per_task)
        else:
            env.pop("SLURM_CPUS_PER_TASK", None)
        return env

    def _tasks(self, job: Job, step: Step, placement: Placement) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        for node_index, (share, count) in enumerate(placement):
            ranks = range(len(tasks), len(tasks) + count)
            for local, rank in enumerate(ranks):
                env = node_variables(self._with_gpus(share, local)) | {
                    "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node_index),
                    "SLURM_GTIDS": ",".join(map(str, ranks)), processes.NODE_TAG: share.node,
                }  # fmt: skip
                task = {"rank": rank, "node": share.node, "env": env}
                tasks.append(task | self._files(job, step, share.node, node_index, rank))
        return tasks

    def _with_gpus(self, share: Share, local: int) -> Share:
        """The GPUs that one task sees: the job's on that node, fewer if srun says so."""
        want = Reader("srun", self.options, 1).want()
        gpus = share.gpus
        if want.gpus_per_task:
            gpus = gpus[local * want.gpus_per_task : (local + 1) * want.gpus_per_task]
        elif want.gpus_per_node:
            gpus = gpus[: want.gpus_per_node]
        return Share(share.node, share.tasks, share.cpus, share.mem_mb, gpus)

    def _files(self, job: Job, step: Step, node: str, node_index: int, rank: int) -> dict[str, str]:
        values = job_values(job) | {
            "J": f"{job.id}.{step.id}", "s": str(step.id), "t": str(rank), "n": str(node_index), "N": node,
        }  # fmt: skip
        names = {"stdout": self.options.get("output", "all"), "stderr": self.options.get("error", "")}
        files: dict[str, str] = {}
        for stream, pattern in names.items():
            if pattern == "none":
                files[stream] = "/dev/null"
            elif pattern and pattern != "all":
                files[stream] = str(Path(self.request.cwd, expand_pattern(pattern, values)))
        if "stdout" in files and not names["stderr"]:
            files["stderr"] = files["stdout"]
        return files

    def _say(self, *lines: str) -> None:
        if lines:
            self.session.tell({"err": "".join(line + "\n" for line in lines)})
