"""The environment of a job's script and of a step's tasks."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

from fox_hpc.fake.hostlist import compress, repeats
from fox_hpc.fake.jobs import Config, Job, Share
from fox_hpc.fake.line import SPOOL, USER

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OWN = (SPOOL, USER)
"""Variables that lead to the fake cluster: always handed on, as a site's configuration is always found."""
_STEP_ONLY = re.compile(
    r"SLURM_(STEP|PROCID|LOCALID|GTIDS|TASK_PID|STEPID|SRUN|LAUNCH|UMASK|PRIO|DISTRIBUTION)\w*"
)


def exported(env: Mapping[str, str], rule: str | None, login: Mapping[str, str]) -> dict[str, str]:
    """What --export lets through: everything, nothing, or what it names; `NAME=VALUE` adds.

    With a rule that is not plain ALL the result also has the variables of a fresh login.
    """
    if rule is None or rule == "ALL":
        return dict(env)
    words = _split(rule)
    result = dict(env) if words[0] == "ALL" else {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            result[name] = value
        elif name in env and name not in ("ALL", "NONE", "NIL"):
            result[name] = env[name]
    return {**login, **result, **{name: env[name] for name in OWN if name in env}}


def login_environment(folder: Path, user: str) -> dict[str, str]:
    """Variables of a fresh login of the one who runs this cluster."""
    me = pwd.getpwuid(os.getuid())
    path = f"{folder / 'bin'}:{STANDARD_PATH}"
    return {"HOME": me.pw_dir, "SHELL": me.pw_shell, "USER": user, "LOGNAME": user, "PATH": path,
            "SLURM_GET_USER_ENV": "1"}  # fmt: skip


def batch_environment(config: Config, folder: Path, job: Job) -> dict[str, str]:
    """Environment of the batch script."""
    env = {**job.env, **job_variables(config, folder, job)}
    env.update({
        "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_GTIDS": "0",
        "ENVIRONMENT": "BATCH",
        **node_variables(job.shares[0]),
    })  # fmt: skip
    return env


def job_variables(config: Config, folder: Path, job: Job) -> dict[str, str]:
    """What every process of a job sees."""
    nodes, want = job.nodes, job.want
    env = {
        "SLURM_JOB_ID": str(job.id),
        "SLURM_JOBID": str(job.id),
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_USER": job.user,
        "SLURM_JOB_UID": str(job.uid),
        "SLURM_JOB_GID": str(job.gid),
        "SLURM_JOB_PARTITION": job.queue,
        "SLURM_JOB_NODELIST": compress(nodes),
        "SLURM_NODELIST": compress(nodes),
        "SLURM_JOB_NUM_NODES": str(len(nodes)),
        "SLURM_NNODES": str(len(nodes)),
        "SLURM_TASKS_PER_NODE": repeats(share.tasks for share in job.shares),
        "SLURM_JOB_CPUS_PER_NODE": repeats(share.cpus for share in job.shares),
        "SLURM_CLUSTER_NAME": config.name,
        "SLURM_SUBMIT_DIR": job.submit_dir,
        "SLURM_SUBMIT_HOST": job.submit_host,
        "SLURM_CONF": str(folder / "config.json"),
        SPOOL: str(folder),
    }
    env |= _optional(job)
    if want.ntasks or want.ntasks_per_node:
        tasks = want.ntasks or len(nodes) * want.ntasks_per_node
        env |= {"SLURM_NTASKS": str(tasks), "SLURM_NPROCS": str(tasks)}
    if job.restarts:
        env["SLURM_RESTART_COUNT"] = str(job.restarts)
    if job.array:
        indexes = job.array.indexes
        env |= {
            "SLURM_ARRAY_JOB_ID": str(job.array.job_id),
            "SLURM_ARRAY_TASK_ID": str(job.array.index),
            "SLURM_ARRAY_TASK_COUNT": str(len(indexes)),
            "SLURM_ARRAY_TASK_MIN": str(min(indexes)),
            "SLURM_ARRAY_TASK_MAX": str(max(indexes)),
            "SLURM_ARRAY_TASK_STEP": str(indexes[1] - indexes[0] if len(indexes) > 1 else 1),
        }
    return env


def _optional(job: Job) -> dict[str, str]:
    want = job.want
    values = {
        "SLURM_NTASKS_PER_NODE": want.ntasks_per_node,
        "SLURM_CPUS_PER_TASK": want.cpus_per_task,
        "SLURM_MEM_PER_NODE": want.mem_mb,
        "SLURM_MEM_PER_CPU": want.mem_per_cpu_mb,
        "SLURM_GPUS": want.gpus,
        "SLURM_GPUS_PER_NODE": want.gpus_per_node,
        "SLURM_JOB_ACCOUNT": job.account,
        "SLURM_JOB_QOS": job.qos,
    }
    return {name: str(value) for name, value in values.items() if value}


def node_variables(share: Share) -> dict[str, str]:
    """What differs from node to node."""
    env = {"SLURMD_NODENAME": share.node, "HOSTNAME": share.node, "SLURM_CPUS_ON_NODE": str(share.cpus),
           "SLURM_TOPOLOGY_ADDR": share.node, "SLURM_TOPOLOGY_ADDR_PATTERN": "node"}  # fmt: skip
    if share.gpus:
        listed = ",".join(map(str, share.gpus))
        seen_by = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "SLURM_JOB_GPUS",
                   "SLURM_STEP_GPUS")  # fmt: skip
        env |= dict.fromkeys(seen_by, listed) | {"SLURM_GPUS_ON_NODE": str(len(share.gpus))}
    return env


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Without what belongs to another step."""
    return {name: value for name, value in env.items() if not _STEP_ONLY.fullmatch(name)}


def _split(rule: str) -> list[str]:
    """At commas, but not inside quotes; the quotes stay, as they do in the real one."""
    parts, quote = [""], ""
    for char in rule:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        if char == "," and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return parts
