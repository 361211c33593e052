"""What doctor asks a scheduler from its login node, and the checks that its answers make."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import SchedulerError
from ..hpc.commands import Commands
from ..hpc.dialect import Answer
from . import checks, queue_checks
from .checks import Check, Partition

#: How long a command of the scheduler may take.
COMMAND_S = 30.0
#: By which command on PATH a scheduler is recognised, the first first.
SUBMITS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}


@dataclass
class Seen:
    """What was found on the login node that the advice depends on.

    Args:
        partition: where a job would go, None if that is left to the scheduler.
        accounting: whether ended jobs are remembered for long.
        remembers_s: for how long the queue itself remembers them; None if nobody said.
    """

    partition: Partition | None = None
    accounting: bool = True
    remembers_s: int | None = None


@dataclass(frozen=True)
class Login:
    """This host, as one scheduler is asked from it.

    Args:
        wanted: the partition or queue that was asked for.
        nodes: how many nodes the examination's job has.
    """

    environ: Mapping[str, str]
    wanted: str | None
    nodes: int
    seen: Seen

    def look(self, scheduler: str) -> Iterator[Check]:
        """Look at what this host alone can tell of a scheduler."""
        looks: dict[str, Callable[[], Iterator[Check]]] = {
            "slurm": self._slurm,
            "pbs": self._pbs,
            "lsf": self._lsf,
        }
        return looks[scheduler]()

    def _slurm(self) -> Iterator[Check]:
        paths = self._paths(*checks.NEEDED, *checks.USEFUL)
        yield checks.check_commands(paths, self._ask(checks.VERSION))
        if not paths["sinfo"]:
            return
        self.seen.remembers_s = checks.read_min_job_age(self._ask(checks.CONFIG))
        sacct = self._ask(checks.ACCOUNTING)
        self.seen.accounting = not sacct.problem
        yield checks.check_accounting(sacct, self.seen.remembers_s)
        sinfo = self._ask(checks.PARTITIONS)
        partitions = checks.read_partitions(sinfo)
        self.seen.partition = checks.choose(partitions, self.wanted)
        yield checks.check_partition(partitions, self.wanted, self.nodes, sinfo)

    def _pbs(self) -> Iterator[Check]:
        commands = queue_checks.check_pbs(
            self._paths(*queue_checks.PBS_NEEDED), self._ask(queue_checks.PBS_VERSION)
        )
        yield commands
        if commands.level == "fail":
            return
        if not commands.found.startswith("Torque"):
            yield queue_checks.check_history(self._ask(queue_checks.PBS_HISTORY))
        answer = self._ask(queue_checks.PBS_QUEUES)
        queues = queue_checks.read_pbs_queues(answer, self._ask(queue_checks.PBS_NODES))
        default = queue_checks.read_pbs_default(self._ask(queue_checks.PBS_SERVER))
        yield self._queues(queue_checks.with_default(queues, default), answer)

    def _lsf(self) -> Iterator[Check]:
        commands = queue_checks.check_lsf(
            self._paths(*queue_checks.LSF_NEEDED), self._ask(queue_checks.LSF_VERSION)
        )
        yield commands
        if commands.level == "fail":
            return
        answer = self._ask(queue_checks.LSF_QUEUES)
        queues = queue_checks.read_lsf_queues(answer, self._ask(queue_checks.LSF_HOSTS))
        default = queue_checks.read_lsf_default(self._ask(queue_checks.LSF_PARAMETERS))
        yield self._queues(queue_checks.with_default(queues, default), answer)

    def _queues(self, queues: Sequence[Partition], answer: Answer) -> Check:
        self.seen.partition = checks.choose(queues, self.wanted)
        return queue_checks.check_queues(queues, self.wanted, self.nodes, answer)

    def _paths(self, *programs: str) -> dict[str, str | None]:
        return {name: shutil.which(name, path=self.environ.get("PATH")) for name in programs}

    def _ask(self, command: Sequence[str]) -> Answer:
        """Run a command to its end; one that is missing or does not end is an answer too."""
        try:
            return Commands(self.environ).run(command, COMMAND_S)
        except SchedulerError as error:
            return Answer(tuple(command), 127, "", str(error))


def found_here(environ: Mapping[str, str]) -> str:
    """Name the scheduler whose command to submit is on PATH, Slurm if there is none."""
    path = environ.get("PATH")
    return next((name for name, program in SUBMITS.items() if shutil.which(program, path=path)), "slurm")
