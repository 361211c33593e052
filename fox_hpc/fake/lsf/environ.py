"""The environment of a job, and its files.

Names and forms: the environment recorded from OpenLava, the dump of a Platform LSF 7 job, and IBM's page
"Environment variables set for job execution".
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from fox_hpc.fake import processes
from fox_hpc.fake.jobs import Config, Job, Share
from fox_hpc.fake.line import SPOOL, USER
from fox_hpc.fake.lsf.record import base_id, record, shown_id, shown_name, slot_hosts

STANDARD_PATH = "/usr/local/bin:/usr/bin:/bin"
LONGEST_LIST = 4096
"""LSB_HOSTS is left out when it would be longer (a limit in the code of LSF's ancestor)."""


def submitted_environment(
    env: Mapping[str, str], rule: str | None, folder: Path, user: str
) -> dict[str, str]:
    """What -env hands on: `all` (as without it), `none`, or what it names; `NAME=VALUE` adds, `~NAME` drops.

    Values may be quoted, so that they can have commas.
    """
    env = {name: value for name, value in env.items() if name not in processes.TAGS}
    if rule is None:
        return env
    words = _split(rule)
    result = dict(env) if "all" in words else {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            result[name.strip()] = value
        elif word.startswith("~"):
            result.pop(word[1:], None)
        elif word in env and word not in ("all", "none"):
            result[word] = env[word]
    me = pwd.getpwuid(os.getuid())
    login = {"HOME": me.pw_dir, "SHELL": me.pw_shell, "USER": user, "LOGNAME": user,
             "PATH": f"{folder / 'bin'}:{STANDARD_PATH}"}  # fmt: skip
    return {**login, **result, **{name: env[name] for name in (SPOOL, USER) if name in env}}


def expand(pattern: str, job: Job) -> str:
    """`%J` is the job id, `%I` the array index (0 if none)."""
    index = job.array.index if job.array else 0
    return pattern.replace("%J", str(base_id(job))).replace("%I", str(index))


def spooled(pattern: str, job: Job) -> str:
    """As `expand`; in the spool's own patterns `%K` is the element, `%T` how often it was put back."""
    return expand(pattern.replace("%K", str(job.id)).replace("%T", str(job.restarts)), job)


def job_folder(folder: Path, job: Job) -> Path:
    return folder / "jobs" / str(job.id)


def job_file(folder: Path, job: Job) -> Path:
    """What LSF calls ~/.lsbatch/<time>.<job id>; here it is in the spool."""
    return job_folder(folder, job) / f"{int(job.submitted)}.{base_id(job)}"


def batch_environment(config: Config, folder: Path, job: Job) -> dict[str, str]:
    """Environment of a job's first process."""
    asked, file = record(job).asked, job_file(folder, job)
    hosts = slot_hosts(job)
    host_file = file.with_suffix(file.suffix + ".hostfile")
    host_file.parent.mkdir(parents=True, exist_ok=True)
    host_file.write_text("".join(f"{name}\n" for name in hosts))
    env = {
        **job.env,
        "LSB_JOBID": str(base_id(job)),
        "LSB_BATCH_JID": shown_id(job),
        "LSB_JOBINDEX": str(job.array.index if job.array else 0),
        "LSB_JOBNAME": shown_name(job),
        "LSB_QUEUE": job.queue,
        "LSB_SUB_HOST": job.submit_host,
        "LSB_HOSTS": " ".join(hosts),
        "LSB_MCPU_HOSTS": "".join(f"{share.node} {share.tasks} " for share in job.shares),
        "LSB_DJOB_HOSTFILE": str(host_file),
        "LSB_DJOB_RANKFILE": str(host_file),
        "LSB_DJOB_NUMPROC": str(len(hosts)),
        "LSB_MAX_NUM_PROCESSORS": str(asked.slots),
        "LSB_EFFECTIVE_RSRCREQ": asked.res_req,
        "LSB_PROJECT_NAME": asked.project,
        "LSB_JOBFILENAME": str(file),
        "LSB_CHKFILENAME": str(file),
        "LSB_ACCT_FILE": f"{file}.acct",
        "LSB_TRAPSIGS": "trap # 15 10 12 2 1",
        "LSB_EXIT_PRE_ABORT": "99",
        "LSB_JOBEXIT_STAT": "0",
        "LSB_EXEC_CLUSTER": config.name,
        "LSB_JOB_EXECUSER": job.user,
        "LSB_UNIXGROUP": job.group,
        "LSFUSER": job.user,
        "LSF_BINDIR": str(folder / "bin"),
        "LSF_ENVDIR": str(folder),
        "LSF_INVOKE_CMD": "bsub",
        "LS_EXEC_T": "START",
        "LS_SUBCWD": job.submit_dir,
        SPOOL: str(folder),
    }
    if len(env["LSB_HOSTS"]) > LONGEST_LIST:
        del env["LSB_HOSTS"]
    return env | _optional(job) | node_variables(job.shares[0])


def _optional(job: Job) -> dict[str, str]:
    asked = record(job).asked
    env = {}
    if asked.output:
        env["LSB_OUTPUTFILE"] = expand(asked.output, job)
    if asked.error:
        env["LSB_ERRORFILE"] = expand(asked.error, job)
    if job.array:
        indexes = job.array.indexes
        env["LSB_JOBINDEX_END"] = str(max(indexes))
        env["LSB_JOBINDEX_STEP"] = str(indexes[1] - indexes[0] if len(indexes) > 1 else 1)
    if job.restarts and job.may_requeue:
        env["LSB_RESTART"] = "Y"
    return env


def node_variables(share: Share) -> dict[str, str]:
    """What differs from host to host."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, share.gpus))} if share.gpus else {}


def _split(rule: str) -> list[str]:
    """At commas outside quotes; the quotes go."""
    parts, quote = [""], ""
    for char in rule:
        if quote:
            if char == quote:
                quote = ""
            else:
                parts[-1] += char
        elif char in "'\"":
            quote = char
        elif char == ",":
            parts.append("")
        elif char != " " or parts[-1]:
            parts[-1] += char
    return [part.rstrip() for part in parts]
