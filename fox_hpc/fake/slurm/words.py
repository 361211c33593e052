"""Slurm's words for states, and the small texts that several programs share."""

from __future__ import annotations

from fox_hpc.fake.jobs import Job

# squeue(1), JOB STATE CODES
SHORT_STATES = {
    "PENDING": "PD", "RUNNING": "R", "COMPLETING": "CG", "COMPLETED": "CD", "FAILED": "F",
    "CANCELLED": "CA", "TIMEOUT": "TO", "NODE_FAIL": "NF", "PREEMPTED": "PR", "REQUEUED": "RQ",
    "SUSPENDED": "S", "BOOT_FAIL": "BF", "DEADLINE": "DL", "OUT_OF_MEMORY": "OOM", "CONFIGURING": "CF",
}  # fmt: skip
STATES = {short: full for full, short in SHORT_STATES.items()}


def shown_state(job: Job) -> str:
    """The state that squeue shows: a job whose processes still end is COMPLETING."""
    return "COMPLETING" if job.completing else job.state


def exit_pair(code: int, number: int) -> str:
    return f"{code}:{number}"


def sacct_exit(code: int, number: int) -> str:
    """sacct keeps seven bits of a code: 143 is shown as 15, 233 as 105."""
    return f"{code & 0x7F}:{number}"


def unit(megabytes: int) -> str:
    return f"{megabytes}M"


def tres(job: Job, with_gpus: bool = True) -> list[tuple[str, str]]:
    """CPUs, memory, nodes and GPUs that a job has, or asks for while it waits."""
    want, shares = job.want, job.shares
    if shares:
        cpus = sum(share.cpus for share in shares)
        mem, nodes = sum(share.mem_mb for share in shares), len(shares)
        gpus = sum(len(share.gpus) for share in shares)
    else:
        nodes = want.nodes or 1
        tasks = want.ntasks or nodes * (want.ntasks_per_node or 1)
        cpus = max(tasks, nodes) * (want.cpus_per_task or 1)
        mem = want.mem_mb * nodes or cpus * (want.mem_per_cpu_mb or 500)
        gpus = want.gpus or want.gpus_per_node * nodes or want.gpus_per_task * tasks
    found = [("cpu", str(cpus)), ("mem", unit(mem)), ("node", str(nodes)), ("billing", str(cpus))]
    if gpus and with_gpus:
        found.append(("gres/gpu", str(gpus)))
    return found


def tres_text(job: Job) -> str:
    return ",".join(f"{name}={value}" for name, value in tres(job))


def cpu_count(job: Job) -> int:
    return int(dict(tres(job))["cpu"])


def node_count(job: Job) -> int:
    return int(dict(tres(job))["node"])
