"""PBS's programs over the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Config, Job, Queue
from fox_hpc.fake.manners import Manners
from fox_hpc.fake.pbs.actions import qalter, qdel, qhold, qrerun, qrls, qsig
from fox_hpc.fake.pbs.pbsnodes import pbsnodes
from fox_hpc.fake.pbs.qstat import qselect, qstat
from fox_hpc.fake.pbs.qsub import qsub
from fox_hpc.fake.pbs.server import Server
from fox_hpc.fake.pbs.spawn import pbs_tmrsh, pbsdsh
from fox_hpc.fake.pbs.unreachable import words
from fox_hpc.fake.request import Refused, Request, Session

Program = Callable[[Engine, Request, Session], None]
NO_HOST, REFUSED = 160, 162


def _at_its_server(program: Program) -> Program:
    """Refuse callers whose PBS_SERVER is another one: there is none."""

    def run(engine: Engine, request: Request, session: Session) -> None:
        server = request.env.get("PBS_SERVER", "") or engine.config.server_name
        if server == engine.config.server_name:
            program(engine, request, session)
        elif server in engine.nodes:
            raise Refused(words(request.program, server, "Connection refused"), REFUSED)
        else:
            raise Refused(words(request.program, server, "Unknown Host."), NO_HOST)

    return run


PROGRAMS: Mapping[str, Program] = {
    "qsub": qsub, "qstat": qstat, "qselect": qselect, "qdel": qdel, "qsig": qsig, "qhold": qhold,
    "qrls": qrls, "qrerun": qrerun, "qalter": qalter, "pbsdsh": pbsdsh, "pbs_tmrsh": pbs_tmrsh,
    "pbsnodes": pbsnodes,
}  # fmt: skip

QUEUES = (
    Queue("workq", default=True, max_time_s=0, preemptable=True),
    Queue("gpu", max_time_s=24 * 3600),
    Queue("express", max_time_s=0, tier=200),
    Queue("closed", max_time_s=0, up=False, enabled=False),
    Queue("stopped", max_time_s=0, up=False),
    Queue("vip", max_time_s=0, users=("nobody-here",)),
)


class PbsFace:
    """What the controller and the runner need to know of the dialect."""

    engine = Server
    manners = Manners(queues=QUEUES)
    programs: Mapping[str, Program] = {name: _at_its_server(program) for name, program in PROGRAMS.items()}

    def __init__(self, config: Config, folder: Path) -> None:
        self._config, self._folder = config, folder

    def environ(self, job: Job) -> dict[str, str]:
        """Give nothing: a job's environment is made where its shell is started."""
        return {}

    def file_name(self, job: Job, pattern: str) -> str:
        """Give the name itself: PBS has no patterns but that of the array index."""
        return pattern
