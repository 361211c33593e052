"""`squeue --json`, `sacct --json`, `sinfo --json`: the members that programs read, in the real shape."""

from __future__ import annotations

import json
from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.hostlist import compress
from fox_hpc.fake.jobs import PENDING, Job
from fox_hpc.fake.slurm.patterns import expand_pattern, job_values
from fox_hpc.fake.slurm.show import dependency_text, end_time, node_state, node_use, start_time
from fox_hpc.fake.slurm.words import cpu_count, node_count, shown_state, tres_text


def squeue_json(engine: Engine) -> str:
    return _document(
        "openapi/v0.0.38", "jobs", [_job(engine, j) for j in engine.jobs.values() if engine.remembers(j)]
    )


def sinfo_json(engine: Engine) -> str:
    nodes = []
    for node in engine.nodes.values():
        _, _, gpus = node_use(engine, node)
        nodes.append({
            "name": node.name, "hostname": node.name, "address": "127.0.0.1", "architecture": "x86_64",
            "cpus": node.cpus, "real_memory": node.mem_mb, "gres": f"gpu:{node.gpus}",
            "gres_used": f"gpu:{gpus}", "state": node_state(engine, node), "state_flags": [],
            "reason": "" if node.reason == "none" else node.reason, "partitions": list(engine.queues),
            "boot_time": int(engine.booted), "sockets": node.cpus, "cores": 1, "threads": 1,
        })  # fmt: skip
    return _document("openapi/v0.0.38", "nodes", nodes)


def sacct_json(engine: Engine, jobs: list[Job]) -> str:
    records = [
        {
            "account": job.account, "job_id": job.id, "name": job.name, "partition": job.queue,
            "nodes": compress(job.nodes) or "None assigned", "allocation_nodes": len(job.nodes),
            "cluster": engine.config.name, "group": job.group, "user": job.user, "qos": job.qos,
            "array": {"job_id": job.array.job_id if job.array else 0,
                      "task_id": job.array.index if job.array else None},
            "exit_code": {"status": "SUCCESS" if not job.signal else "SIGNALED", "return_code": job.code},
            "state": {"current": job.state, "reason": job.reason},
            "time": {
                "elapsed": int((job.ended or engine.now()) - job.started) if job.started else 0,
                "eligible": int(job.eligible), "start": int(job.started), "end": int(job.ended),
                "submission": int(job.submitted), "limit": int(job.limit_s // 60), "suspended": 0,
            },
            "required": {"CPUs": cpu_count(job), "memory": job.want.mem_mb},
            "steps": [],
        }
        for job in jobs
    ]  # fmt: skip
    return _document("openapi/dbv0.0.38", "jobs", records)


def _document(plugin: str, name: str, values: list[dict[str, Any]]) -> str:
    title = "Slurm OpenAPI DB v0.0.38" if "db" in plugin else "Slurm OpenAPI v0.0.38"
    version = {"major": 22, "micro": 8, "minor": 5}
    meta = {"plugin": {"type": plugin, "name": title}, "Slurm": {"version": version, "release": "22.05.8"}}
    return json.dumps({"meta": meta, "errors": [], name: values}, indent=2) + "\n"


def _job(engine: Engine, job: Job) -> dict[str, Any]:
    want, values = job.want, job_values(job)
    paths = {name: expand_pattern(text, values) for name, text in
             (("out", job.stdout), ("err", job.stderr), ("in", job.stdin))}  # fmt: skip
    array = job.array
    needs = dependency_text(job)
    per_cpu = want.mem_per_cpu_mb or engine.config.default_mem_per_cpu_mb
    return {
        "account": job.account, "array_job_id": array.job_id if array else 0,
        "array_task_id": array.index if array else None, "array_max_tasks": array.throttle if array else 0,
        "array_task_string": "", "batch_flag": job.batch, "batch_host": job.nodes[0] if job.nodes else "",
        "cluster": engine.config.name, "command": job.command, "comment": job.comment, "cpus": cpu_count(job),
        "cpus_per_task": want.cpus_per_task or None, "current_working_directory": job.workdir,
        "dependency": "" if needs == "(null)" else needs, "derived_exit_code": job.derived_code,
        "eligible_time": int(job.eligible), "end_time": int(end_time(job)),
        "excluded_nodes": compress(want.exclude),
        "exit_code": job.code << 8 | job.signal if job.state != PENDING else 0, "features": job.constraint,
        "group_id": job.gid, "group_name": job.group, "job_id": job.id,
        "job_resources": {"nodes": compress(job.nodes), "allocated_cores": sum(s.cpus for s in job.shares),
                          "allocated_hosts": len(job.nodes)} if job.shares else {},
        "job_state": shown_state(job), "memory_per_cpu": None if want.mem_mb else per_cpu,
        "memory_per_node": want.mem_mb or None, "name": job.name, "nice": job.nice or None,
        "node_count": node_count(job), "nodes": compress(job.nodes), "partition": job.queue,
        "priority": job.priority, "qos": job.qos, "requeue": job.may_requeue,
        "required_nodes": compress(want.require), "restart_cnt": job.restarts,
        "standard_error": "" if job.stderr == job.stdout else paths["err"], "standard_input": paths["in"],
        "standard_output": paths["out"], "start_time": int(start_time(job)), "state_description": "",
        "state_reason": job.reason, "submit_time": int(job.submitted),
        "tasks": want.ntasks or node_count(job) * (want.ntasks_per_node or 1),
        "tasks_per_node": want.ntasks_per_node or None, "time_limit": int(job.limit_s // 60),
        "tres_alloc_str": tres_text(job) if job.shares else "", "tres_per_node": job.gres,
        "tres_req_str": tres_text(job), "user_id": job.uid, "user_name": job.user, "wckey": "",
    }  # fmt: skip
