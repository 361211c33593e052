"""The environment of a job's shell and of its tasks, and the files that it names."""

from __future__ import annotations

import shutil
from pathlib import Path

from fox_hpc.fake import processes
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.line import SPOOL
from fox_hpc.fake.pbs.details import array_id, details, job_id

PLAIN_PATH = "/bin:/usr/bin"
MOM_PORT = "15003"


def hosts(job: Job) -> list[str]:
    """The job's nodes, each once, first one first."""
    return list(dict.fromkeys(job.nodes))


def node_lines(job: Job) -> list[str]:
    """The node file: a line for each process that a chunk is to run."""
    return [share.node for share in job.shares for _ in range(share.tasks)]


def node_file(engine: Engine, job: Job) -> Path:
    return engine.folder / "aux" / job_id(engine, job)


def scratch(engine: Engine, job: Job, node: str) -> Path:
    """The job's own temporary folder on one node."""
    return engine.folder / "tmp" / node / f"pbs.{job_id(engine, job)}"


def script_file(engine: Engine, job: Job) -> Path:
    return engine.folder / "mom_priv" / f"{job_id(engine, job)}.SC"


def lay_out(engine: Engine, job: Job) -> None:
    """Make the files and folders of a job that starts."""
    node_file(engine, job).write_text("".join(f"{node}\n" for node in node_lines(job)))
    for node in hosts(job):
        scratch(engine, job, node).mkdir(parents=True, mode=0o700, exist_ok=True)
    script = script_file(engine, job)
    if not script.exists():
        script.write_text(job.script)
    script.chmod(0o700)
    if details(job).sandbox:
        job.workdir = str(Path(details(job).home, f"pbs.{job_id(engine, job)}.x8z"))
        Path(job.workdir).mkdir(exist_ok=True)


def clear_away(engine: Engine, job: Job, nodes: list[str]) -> None:
    """Remove them; the script stays for a job that runs again."""
    node_file(engine, job).unlink(missing_ok=True)
    for node in nodes:
        shutil.rmtree(scratch(engine, job, node), ignore_errors=True)
    if not job.requeue_after_end:
        script_file(engine, job).unlink(missing_ok=True)


def task_environment(engine: Engine, job: Job, node: str, number: str) -> dict[str, str]:
    """What one process that PBS starts sees: nothing of what the job's script exported."""
    own = details(job)
    index = hosts(job).index(node)
    piece = next(
        piece for share, piece in zip(job.shares, own.resources.chunks, strict=True) if share.node == node
    )
    threads = str(piece.get("ompthreads") or piece.get("ncpus", 1))
    # A node's own programs come first: those that say which node they are on.
    node_bin = engine.folder / "node_bin"
    env = {"PATH": PLAIN_PATH, **job.env}
    env |= {
        "PATH": f"{node_bin}:{env['PATH']}",
        "HOME": own.home,
        "PBS_JOBNAME": job.name,
        "PBS_JOBID": job_id(engine, job),
        "PBS_QUEUE": job.queue,
        "PBS_JOBCOOKIE": own.cookie,
        "PBS_NODENUM": str(index),
        "PBS_TASKNUM": number,
        "PBS_MOMPORT": MOM_PORT,
        "OMP_NUM_THREADS": threads,
        "NCPUS": threads,
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "ENVIRONMENT": "BATCH",
        "TMPDIR": str(scratch(engine, job, node)),
        "PBS_JOBDIR": job.workdir,
        SPOOL: str(engine.folder),
    }
    if job.array:
        env |= {"PBS_ARRAY_ID": array_id(engine, job), "PBS_ARRAY_INDEX": str(job.array.index)}
    gpus = [str(gpu) for each in job.shares if each.node == node for gpu in each.gpus]
    if gpus and engine.config.cgroups:
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return env | {processes.TAG: f"{engine.runner.cluster}:{job.id}", processes.NODE_TAG: node}


def shell_environment(engine: Engine, job: Job) -> dict[str, str]:
    """What the job's own process sees."""
    env = task_environment(engine, job, job.nodes[0], "1")
    return env | {"PBS_NODEFILE": str(node_file(engine, job)), "LOGNAME": job.user, "USER": job.user,
                  "SHELL": details(job).shell}  # fmt: skip


def login_line(engine: Engine, script: Path) -> str:
    """What the login shell reads from its stdin.

    The profile of the machine has set PATH anew, and knows nothing of this cluster's programs.
    """
    folder = engine.folder
    return f'PATH="{folder}/node_bin:$PATH:{folder}/bin"; export PATH; {script}\n'
