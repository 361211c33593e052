"""What `scontrol show` prints of jobs, nodes and partitions."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress
from fox_hpc.fake.jobs import PENDING, RUNNING, Job, Node, Queue
from fox_hpc.fake.schedule import dependencies
from fox_hpc.fake.slurm.patterns import expand_pattern, job_values
from fox_hpc.fake.slurm.times import long_length, stamp
from fox_hpc.fake.slurm.words import cpu_count, exit_pair, node_count, tres, tres_text

VERSION = "22.05.8"


def start_time(job: Job) -> float:
    """When the job started, or is expected to start; 0 = nobody knows."""
    if job.state == PENDING:
        return job.begin if job.reason == "BeginTime" else job.planned_start
    return job.started


def end_time(job: Job) -> float:
    if job.ended:
        return job.ended
    start = start_time(job)
    return start + job.limit_s if start else 0.0


def dependency_text(job: Job) -> str:
    """What the job still waits for."""
    if job.state != PENDING or not job.after:
        return "(null)"
    words = {"DependencyNeverSatisfied": "failed"}.get(job.reason, "unfulfilled")
    join = "?" if job.any_dependency else ","
    return join.join(f"{a.kind}:{a.job_id}({words})" if a.job_id else a.kind for a in job.after)


def show_job(engine: Engine, job: Job, one_line: bool) -> str:
    """One job as `scontrol show job` prints it."""
    lines = [*_who(engine, job), *_when(engine, job), *_where(job), *_what(engine, job)]
    if one_line:
        return " ".join(lines) + " \n"
    return "\n   ".join(lines) + "\n   \n\n"


def _who(engine: Engine, job: Job) -> list[str]:
    array = ""
    if job.array:
        array = f" ArrayJobId={job.array.job_id} ArrayTaskId={job.array.index}"
        array += f" ArrayTaskThrottle={job.array.throttle}" if job.array.throttle else ""
    needs = dependency_text(job)
    if needs != "(null)" and dependencies(job, engine.jobs):
        needs = "(null)"
    code, number = _exit(job)
    return [
        f"JobId={job.id}{array} JobName={job.name}",
        f"UserId={job.user}({job.uid}) GroupId={job.group}({job.gid}) MCS_label=N/A",
        f"Priority={job.priority} Nice={job.nice} "
        f"Account={job.account or '(null)'} QOS={job.qos or '(null)'}",
        f"JobState={'COMPLETING' if job.completing else job.state} Reason={job.reason} Dependency={needs}",
        f"Requeue={int(job.may_requeue)} Restarts={job.restarts} BatchFlag={int(job.batch)} Reboot=0 "
        f"ExitCode={exit_pair(code, number)}",
    ]


def _exit(job: Job) -> tuple[int, int]:
    return (0, 0) if job.state in (PENDING, RUNNING) else (job.code, job.signal)


def _when(engine: Engine, job: Job) -> list[str]:
    start, end = start_time(job), end_time(job)
    ran = (job.ended or engine.now()) - job.started if job.started else 0
    eligible = job.begin if job.reason == "BeginTime" else job.eligible
    accrued = 0.0 if job.reason == "BeginTime" else eligible
    return [
        f"RunTime={long_length(ran)} TimeLimit={long_length(job.limit_s)} TimeMin=N/A",
        f"SubmitTime={stamp(job.submitted)} EligibleTime={stamp(eligible, 'Unknown')}",
        f"AccrueTime={stamp(accrued, 'Unknown')}",
        f"StartTime={stamp(start, 'Unknown')} EndTime={stamp(end, 'Unknown')} Deadline=N/A",
        "SuspendTime=None SecsPreSuspend=0 "
        f"LastSchedEval={stamp(job.started or job.submitted)} Scheduler=Main",
    ]


def _where(job: Job) -> list[str]:
    planned = f" SchedNodeList={compress(job.planned_nodes)}" if job.planned_nodes and not job.nodes else ""
    lines = [
        f"Partition={job.queue} AllocNode:Sid={job.submit_host}:{os.getpid()}",
        f"ReqNodeList={compress(job.want.require) or '(null)'} "
        f"ExcNodeList={compress(job.want.exclude) or '(null)'}",
        f"NodeList={compress(job.nodes)}{planned}",
    ]
    return lines + ([f"BatchHost={job.nodes[0]}"] if job.nodes else [])


def _what(engine: Engine, job: Job) -> list[str]:
    want = job.want
    nodes = str(node_count(job))
    if job.state == PENDING and want.nodes:
        nodes = f"{want.nodes}-{want.max_nodes or want.nodes}"
    tasks = want.ntasks or node_count(job) * (want.ntasks_per_node or 1)
    per_task = want.cpus_per_task or 1
    memory = f"MinMemoryNode={want.mem_mb}M" if want.mem_mb else (
        f"MinMemoryCPU={want.mem_per_cpu_mb or engine.config.default_mem_per_cpu_mb}M")  # fmt: skip
    lines = [
        f"NumNodes={nodes} NumCPUs={cpu_count(job)} NumTasks={tasks} CPUs/Task={per_task} ReqB:S:C:T=0:0:*:*",
        f"TRES={tres_text(job)}",
        f"Socks/Node=* NtasksPerN:B:S:C={want.ntasks_per_node}:0:*:* CoreSpec=*",
        f"MinCPUsNode={per_task * (want.ntasks_per_node or 1)} {memory} MinTmpDiskNode=0",
        f"Features={job.constraint or '(null)'} DelayBoot=00:00:00",
        f"OverSubscribe={'NO' if want.exclusive else 'OK'} Contiguous=0 Licenses=(null) Network=(null)",
        f"Command={job.command or '(null)'}",
        f"WorkDir={job.workdir}",
    ]
    if job.comment:
        lines.append(f"Comment={job.comment} ")
    values = job_values(job)
    for name, pattern in (("StdErr", job.stderr), ("StdIn", job.stdin), ("StdOut", job.stdout)):
        if job.batch:
            lines.append(f"{name}={Path(job.workdir, expand_pattern(pattern, values))}")
    lines.append("Power=")
    return lines + ([f"TresPerNode={job.gres}"] if job.gres else [])


def node_use(engine: Engine, node: Node) -> tuple[int, int, int]:
    """CPUs, megabytes and GPUs of the node that jobs have."""
    shares = [s for job in engine.jobs.values() if job.holds_nodes for s in job.shares if s.node == node.name]
    return sum(s.cpus for s in shares), sum(s.mem_mb for s in shares), sum(len(s.gpus) for s in shares)


def node_state(engine: Engine, node: Node) -> str:
    """sinfo's word for a node, in full."""
    cpus, _, _ = node_use(engine, node)
    if node.down:
        return "down"
    if node.drained:
        return "draining" if cpus else "drained"
    holders = [job for job in engine.jobs.values() if job.holds_nodes and node.name in job.nodes]
    if holders and all(job.completing for job in holders):
        return "completing"
    if cpus:
        return "allocated" if cpus >= node.cpus else "mixed"
    return "planned" if node.name in engine.planned_nodes else "idle"


def show_node(engine: Engine, node: Node, one_line: bool) -> str:
    """One node as `scontrol show node` prints it; its address is this machine's own."""
    cpus, mem, gpus = node_use(engine, node)
    state = node_state(engine, node).upper()
    system = platform.uname()
    lines = [
        f"NodeName={node.name} Arch={system.machine} CoresPerSocket=1 ",
        f"CPUAlloc={cpus} CPUEfctv={node.cpus} CPUTot={node.cpus} CPULoad={os.getloadavg()[0]:.2f}",
        "AvailableFeatures=" + (",".join(engine.config.features) or "(null)"),
        "ActiveFeatures=" + (",".join(engine.config.features) or "(null)"),
        f"Gres={f'gpu:{node.gpus}' if node.gpus else '(null)'}",
        f"NodeAddr=127.0.0.1 NodeHostName={node.name} Version={VERSION}",
        f"OS={system.system} {system.release} {system.version} ",
        f"RealMemory={node.mem_mb} AllocMem={mem} FreeMem={node.mem_mb - mem} Sockets={node.cpus} Boards=1",
        f"State={state.replace('PLANNED', 'IDLE+PLANNED').replace('DRAINED', 'IDLE+DRAIN')} ThreadsPerCore=1 "
        "TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A",
        f"Partitions={','.join(engine.queues)} ",
        f"BootTime={stamp(engine.booted)} SlurmdStartTime={stamp(engine.booted)}",
        f"LastBusyTime={stamp(node.busy_since or engine.booted)}",
        f"CfgTRES=cpu={node.cpus},mem={node.mem_mb}M,billing={node.cpus}" + _gpu_tres(node.gpus),
        "AllocTRES=" + (f"cpu={cpus},mem={mem}M{_gpu_tres(gpus)}" if cpus else ""),
        "CapWatts=n/a",
        "CurrentWatts=0 AveWatts=0",
        "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s",
    ]
    if node.reason != "none":
        lines.append(f"Reason={node.reason}")
    return (" " if one_line else "\n   ").join(lines) + ("\n" if one_line else "\n\n")


def _gpu_tres(count: int) -> str:
    return f",gres/gpu={count}" if count else ""


def show_partition(engine: Engine, queue: Queue, one_line: bool) -> str:
    """One partition as `scontrol show partition` prints it."""
    config = engine.config
    cpus, gpus = config.cpus * config.nodes, config.gpus * config.nodes
    limit = long_length(queue.max_time_s) if queue.max_time_s else "UNLIMITED"
    lines = [
        f"PartitionName={queue.name}",
        "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL",
        f"AllocNodes=ALL Default={'YES' if queue.default else 'NO'} QoS=N/A",
        f"DefaultTime={long_length(config.default_limit_s)} DisableRootJobs=NO ExclusiveUser=NO "
        f"GraceTime={int(config.grace_s) if queue.preemptable else 0} Hidden=NO",
        f"MaxNodes={queue.max_nodes or 'UNLIMITED'} MaxTime={limit} MinNodes=0 LLN=NO "
        "MaxCPUsPerNode=UNLIMITED",
        f"Nodes={compress(engine.nodes)}",
        f"PriorityJobFactor=1 PriorityTier={queue.tier} RootOnly=NO ReqResv=NO OverSubscribe=NO",
        f"OverTimeLimit=NONE PreemptMode={'REQUEUE' if queue.preemptable else 'OFF'}",
        f"State={'UP' if queue.up else 'DOWN'} TotalCPUs={cpus} TotalNodes={config.nodes} "
        "SelectTypeParameters=NONE",
        "JobDefaults=(null)",
        "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED",
        f"TRES=cpu={cpus},mem={config.mem_mb * config.nodes}M,node={config.nodes},billing={cpus}"
        + _gpu_tres(gpus),
    ]
    return (" " if one_line else "\n   ").join(lines) + ("\n" if one_line else "\n\n")


def allocated_tres(job: Job) -> str:
    """sacct's form: by name, and only of what was given."""
    return ",".join(f"{name}={value}" for name, value in sorted(tres(job))) if job.shares else ""
