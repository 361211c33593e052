"""What a fake cluster knows: nodes, queues, jobs and steps. Plain data; no process, file or clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fox_hpc.fake.trouble import Troubles

PENDING = "PENDING"
RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
TIMEOUT = "TIMEOUT"
NODE_FAIL = "NODE_FAIL"
PREEMPTED = "PREEMPTED"
REQUEUED = "REQUEUED"

LAUNCH_FAILED = 53
"""The signal number that a job reports whose output file or work folder cannot be opened."""


@dataclass(frozen=True)
class Queue:
    """One partition; `max_time_s` and `max_nodes` 0 = no limit; a higher `tier` is served first."""

    name: str
    default: bool = False
    max_time_s: int = 24 * 3600
    max_nodes: int = 0
    tier: int = 10
    up: bool = True
    preemptable: bool = False
    enabled: bool = True
    """Whether it takes jobs at all; one that is not `up` takes them, and starts none."""
    users: tuple[str, ...] = ()
    """Who may use it; empty = everybody."""


QUEUES = (
    Queue("batch", default=True),
    Queue("debug", max_time_s=1800, max_nodes=2),
    Queue("low", tier=1, preemptable=True),
    Queue("closed", max_time_s=0, up=False),
)


@dataclass(frozen=True)
class Config(Troubles):
    """How a fake cluster is made; the waits are shorter than a site's, so that tests end soon."""

    nodes: int = 4
    cpus: int = 4
    gpus: int = 2
    mem_mb: int = 8000
    dialect: str = "slurm"
    name: str = "fox"
    accounting: bool = True
    accounting_lag_s: float = 0.0
    accounts: tuple[str, ...] = ("proj",)
    qos: tuple[str, ...] = ("normal",)
    features: tuple[str, ...] = ()
    default_limit_s: int = 600
    default_mem_per_cpu_mb: int = 500
    kill_wait_s: float = 2.0
    grace_s: float = 0.5
    requeue_wait_s: float = 0.5
    min_job_age_s: float = 300.0
    preempt_mode: str = "requeue"
    """What happens to a job that must give way: requeue, cancel, or (PBS) suspend."""
    node_fail_wait_s: float = 1.0
    """How long a PBS job whose first node is gone still counts as running."""
    cgroups: bool = False
    """PBS: no process leaves its job by opening a session of its own; GPUs show in CUDA_VISIBLE_DEVICES."""
    server_name: str = "pbs01"
    """What job ids end in; plain tables cut a long one, and with it the ids."""
    time_scale: float = 1.0
    max_array_size: int = 1001
    first_job_id: int = 0
    temporary: bool = False
    limit_wait_s: float = 10.0
    """How long a job that was told of its time limit may go on, where the dialect gives it time."""
    chatter: str = ""
    """What a site's own hooks print before the answer to a submission."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Config:
        """From JSON, whose lists were tuples."""
        made: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**made)


@dataclass
class Node:
    name: str
    cpus: int
    gpus: int
    mem_mb: int
    down: bool = False
    drained: bool = False
    reason: str = "none"
    busy_since: float = 0.0

    @property
    def available(self) -> bool:
        return not (self.down or self.drained)


@dataclass(frozen=True)
class Chunk:
    """One piece of a request made of several, which may differ; each lies on one node."""

    cpus: int = 1
    mem_mb: int = 0
    gpus: int = 0
    tasks: int = 1
    host: str = ""


@dataclass(frozen=True)
class Want:
    """Resources asked for; 0 or empty = not said."""

    nodes: int = 0
    max_nodes: int = 0
    ntasks: int = 0
    ntasks_per_node: int = 0
    cpus_per_task: int = 0
    mem_mb: int = 0
    mem_per_cpu_mb: int = 0
    whole_memory: bool = False
    gpus_per_node: int = 0
    gpus: int = 0
    gpus_per_task: int = 0
    exclusive: bool = False
    require: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    """If given, the request is these pieces, and only `spread` and `exclusive` are looked at beside them."""
    spread: str = ""
    """Where pieces go: `scatter` (each on a node of its own), `pack` (all on one node), or anywhere."""


@dataclass(frozen=True)
class Share:
    """What one job has of one node."""

    node: str
    tasks: int
    cpus: int
    mem_mb: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Warn:
    """A signal sent `lead_s` before the time limit; to steps, or to the batch shell alone."""

    signal: int
    lead_s: float
    batch_only: bool = False


@dataclass(frozen=True)
class After:
    """One dependency: `kind` is afterok, afterany, afternotok, after or singleton."""

    kind: str
    job_id: str = ""


@dataclass(frozen=True)
class ArrayPart:
    """Which task of which array a job is."""

    job_id: int
    index: int
    throttle: int
    indexes: tuple[int, ...]


@dataclass
class Step:
    """One parallel launch inside a job; `id` -1 is the batch script itself."""

    id: int
    name: str
    nodes: list[str]
    started: float
    cpus: dict[str, int] = field(default_factory=dict)
    tasks: int = 1
    ended: float = 0.0
    state: str = RUNNING
    code: int = 0
    signal: int = 0
    by: int | None = None
    pids: list[int] = field(default_factory=list)


@dataclass
class Run:
    """One finished run of a job that was put back into the queue."""

    state: str
    started: float
    ended: float
    nodes: list[str]
    shares: list[Share]
    steps: list[Step]


@dataclass
class Job:
    id: int
    name: str
    user: str
    uid: int
    group: str
    gid: int
    queue: str
    want: Want
    workdir: str
    account: str = ""
    qos: str = ""
    script: str = ""
    args: list[str] = field(default_factory=list)
    command: str = ""
    env: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    stdin: str = "/dev/null"
    append: bool = False
    batch: bool = True
    limit_s: float = 600.0
    warn: Warn | None = None
    begin: float = 0.0
    held: bool = False
    may_requeue: bool = True
    after: list[After] = field(default_factory=list)
    any_dependency: bool = False
    kill_on_bad_dependency: bool = False
    array: ArrayPart | None = None
    priority: int = 0
    nice: int = 0
    comment: str = ""
    gres: str = ""
    constraint: str = ""
    submit_host: str = ""
    submit_dir: str = ""

    state: str = PENDING
    reason: str = "None"
    completing: bool = False
    submitted: float = 0.0
    eligible: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    restarts: int = 0
    shares: list[Share] = field(default_factory=list)
    planned_start: float = 0.0
    planned_nodes: list[str] = field(default_factory=list)
    code: int = 0
    signal: int = 0
    derived_code: int = 0
    cancelled_by: int | None = None
    steps: list[Step] = field(default_factory=list)
    next_step: int = 0
    runs: list[Run] = field(default_factory=list)
    requeue_after_end: bool = False
    requeue_codes: tuple[int, ...] = ()
    """Exit codes with which the job goes back into the queue by itself."""
    pid: int = 0
    suspended: bool = False
    details: Any = None
    """What only the job's dialect knows of it; the engine does not look."""

    @property
    def nodes(self) -> list[str]:
        return [share.node for share in self.shares]

    @property
    def is_over(self) -> bool:
        """Has an end state, though its processes may still be ending (`completing`)."""
        return self.state not in (PENDING, RUNNING)

    @property
    def holds_nodes(self) -> bool:
        return (self.state == RUNNING and not self.suspended) or self.completing

    @property
    def public_id(self) -> str:
        return f"{self.array.job_id}_{self.array.index}" if self.array else str(self.id)

    @property
    def batch_step(self) -> Step | None:
        return next((step for step in self.steps if step.id < 0), None)
