"""From options to what the engine takes: resources, limits, signals. Refusals in Slurm's words."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.fit import fit, free_nodes
from fox_hpc.fake.hostlist import expand
from fox_hpc.fake.jobs import After, Node, Queue, Want, Warn
from fox_hpc.fake.request import Refused
from fox_hpc.fake.slurm.times import parse_length, parse_moment

Options = Mapping[str, str]
MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}


class Reader:
    """Reads one program's options; refuses in that program's name."""

    def __init__(self, program: str, options: Options, bad_code: int) -> None:
        self.program, self.options, self._bad_code = program, options, bad_code

    def invalid(self, words: str) -> Refused:
        """A syntax error, found before the controller is asked."""
        return Refused(f"{self.program}: error: {words}", self._bad_code)

    def refused(self, words: str, before: str = "") -> Refused:
        """A refusal of the controller."""
        what = "Batch job submission failed" if self.program == "sbatch" else "Unable to allocate resources"
        lines = [f"{self.program}: error: {line}" for line in (before, f"{what}: {words}") if line]
        return Refused("\n".join(lines), 1)

    def number(self, name: str, least: int = 1) -> int:
        """A count; 0 if not given."""
        text = self.options.get(name)
        if text is None:
            return 0
        if not text.isdigit() or int(text) < least:
            raise self.invalid(f'Invalid numeric value "{text}" for --{name}.')
        return int(text)

    def want(self) -> Want:
        """The resources asked for, before the controller checks them."""
        least, most = self._nodes()
        mem, per_cpu = self._memory("mem"), self._memory("mem-per-cpu")
        gpus_per_node = self._gres() or self._gpus("gpus-per-node")
        names = {key: tuple(expand(self.options.get(key, ""))) for key in ("nodelist", "exclude")}
        return Want(
            nodes=max(least, len(names["nodelist"]) if least else 0),
            max_nodes=most,
            ntasks=self.number("ntasks"),
            ntasks_per_node=self.number("ntasks-per-node"),
            cpus_per_task=self.number("cpus-per-task"),
            mem_mb=mem or 0,
            whole_memory=mem == 0,
            mem_per_cpu_mb=per_cpu or 0,
            gpus_per_node=gpus_per_node,
            gpus=self._gpus("gpus"),
            gpus_per_task=self._gpus("gpus-per-task"),
            exclusive="exclusive" in self.options,
            require=names["nodelist"],
            exclude=names["exclude"],
        )

    def _nodes(self) -> tuple[int, int]:
        text = self.options.get("nodes")
        if text is None:
            return 0, 0
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
        if match is None or int(match[1]) < 1:
            raise self.invalid("invalid node count `" + text + "'")
        return int(match[1]), int(match[2] or match[1])

    def _memory(self, name: str) -> int | None:
        """Megabytes; None if not given."""
        text = self.options.get(name)
        if text is None:
            return None
        match = re.fullmatch(r"(\d+)([KMGT]?)B?", text.upper())
        if match is None:
            raise self.invalid(f"Invalid --{name} specification")
        return int(int(match[1]) * MEGABYTES[match[2] or "M"])

    def _gpus(self, name: str) -> int:
        text = self.options.get(name)
        if text is None:
            return 0
        kind, _, count = text.rpartition(":")
        if not count.isdigit():
            raise self.invalid(f"Invalid --{name} specification")
        if kind:
            raise self.refused("Requested node configuration is not available")
        return int(count)

    def _gres(self) -> int:
        """GPUs per node from --gres=gpu[:N]; other names and types are not there."""
        total = 0
        for item in filter(None, self.options.get("gres", "").split(",")):
            name, _, rest = item.removeprefix("gres:").partition(":")
            if name == "none":
                continue
            if name != "gpu":
                raise Refused(f"{self.program}: error: Invalid generic resource (gres) specification", 1)
            kind, _, count = rest.rpartition(":")
            if kind or (rest and not count.isdigit()):
                raise self.refused("Requested node configuration is not available")
            total += int(count or 1)
        return total

    def limit(self) -> float | None:
        """Seconds of --time; None if not given."""
        text = self.options.get("time")
        if text is None:
            return None
        seconds = parse_length(text)
        if seconds is None:
            raise self.invalid("Invalid --time specification")
        return seconds or None

    def warn(self) -> Warn | None:
        """--signal=[B:]SIG[@seconds]."""
        text = self.options.get("signal")
        if text is None:
            return None
        match = re.fullmatch(r"(?:([BR]+):)?(\w+)(?:@(\d+))?", text)
        number = signal_number(match[2]) if match else None
        if match is None or number is None:
            raise self.invalid("Invalid --signal specification")
        return Warn(number, float(match[3] or 60), "B" in (match[1] or ""))

    def begin(self, now: float) -> float:
        text = self.options.get("begin")
        if text is None:
            return 0.0
        moment = parse_moment(text, now)
        if moment is None:
            error = self.invalid("Invalid --begin specification")
            raise Refused(f"Invalid time specification (pos=0): {text}\n{error.words}", error.code)
        return moment

    def after(self) -> tuple[list[After], bool]:
        """--dependency: what must be met, and whether any one of it is enough."""
        text = self.options.get("dependency", "")
        found = []
        for part in filter(None, re.split(r"[,?]", text)):
            kind, _, ids = part.partition(":")
            if kind not in ("after", "afterok", "afterany", "afternotok", "singleton") or (
                (kind == "singleton") == bool(ids)
            ):
                raise self.refused("Job dependency problem")
            ids_of_kind = [i.partition("+")[0] for i in ids.split(":")]
            if any(i and not re.fullmatch(r"\d+(_\d+)?", i) for i in ids_of_kind):
                raise self.refused("Job dependency problem")
            found += [After(kind, job_id) for job_id in ids_of_kind]
        return found, "?" in text

    def queue(self, engine: Engine) -> Queue:
        name = self.options.get("partition")
        queues = engine.queues
        if name is None:
            return next(queue for queue in queues.values() if queue.default)
        for part in name.split(","):
            if part not in queues:
                raise self.refused("Invalid partition name specified", f"invalid partition specified: {part}")
        return queues[name.split(",")[0]]

    def check(self, engine: Engine, queue: Queue, want: Want, limit_s: float | None) -> None:
        """Refuse what this cluster can never run."""
        self._check_names(engine)
        config = engine.config
        if limit_s and queue.max_time_s and limit_s > queue.max_time_s:
            raise self.refused("Requested time limit is invalid (missing or exceeds some limit)")
        if any(name not in engine.nodes for name in (*want.require, *want.exclude)):
            raise self.refused("Invalid node name specified")
        if want.nodes > config.nodes or max(want.cpus_per_task, 1) > config.cpus:
            raise self.refused("More processors requested than permitted")
        if queue.max_nodes and want.nodes > queue.max_nodes:
            raise self.refused("Node count specification invalid")
        if want.mem_mb > config.mem_mb or want.mem_per_cpu_mb > config.mem_mb:
            raise self.refused(
                "Requested node configuration is not available", "Memory specification can not be satisfied"
            )
        every = free_nodes([Node(n.name, n.cpus, n.gpus, n.mem_mb) for n in engine.nodes.values()])
        if fit(want, every, config) is None:
            # Without memory and GPUs it fits: then those are what is not there.
            bare = replace(want, mem_mb=0, mem_per_cpu_mb=1, gpus=0, gpus_per_node=0, gpus_per_task=0)
            if fit(bare, every, config) is None:
                raise self.refused("More processors requested than permitted")
            raise self.refused("Requested node configuration is not available")

    def _check_names(self, engine: Engine) -> None:
        config = engine.config
        account, qos = self.options.get("account"), self.options.get("qos")
        if config.accounting and config.accounts and account and account not in config.accounts:
            raise self.refused("Invalid account or account/partition combination specified")
        if config.accounting and config.qos and qos and qos not in config.qos:
            raise self.refused("Invalid qos specification")
        wanted: Sequence[str] = [
            w for w in re.split(r"[&|,*\[\]()]+", self.options.get("constraint", "")) if w
        ]
        if any(word not in config.features for word in wanted):
            raise self.refused("Invalid feature specification")
        if self.options.get("reservation"):
            raise self.refused("Requested reservation is invalid")


def signal_number(name: str) -> int | None:
    """Number of `USR1`, `SIGUSR1` or `10`."""
    if name.isdigit():
        return int(name)
    found = getattr(signal, "SIG" + name.upper().removeprefix("SIG"), None)
    return int(found) if found else None
