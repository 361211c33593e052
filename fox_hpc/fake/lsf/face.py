"""LSF's programs over the engine.

The truth is in recordings of OpenLava 2.2 (the open relative of IBM's LSF) and in attested texts of IBM
Spectrum LSF 10.1; where a program rests on documentation alone, its own file says so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Config, Job, Queue
from fox_hpc.fake.lsf.bhist import bhist
from fox_hpc.fake.lsf.bjobs import bjobs
from fox_hpc.fake.lsf.blaunch import blaunch
from fox_hpc.fake.lsf.bsub import bsub
from fox_hpc.fake.lsf.control import bkill, bpeek, brequeue, bresume, bstop
from fox_hpc.fake.lsf.environ import batch_environment, spooled
from fox_hpc.fake.lsf.hosts import badmin, bhosts, bqueues, lshosts, lsid
from fox_hpc.fake.lsf.jsrun import jsrun
from fox_hpc.fake.manners import Manners
from fox_hpc.fake.request import Request, Session

Program = Callable[[Engine, Request, Session], None]
QUEUES = (
    Queue("normal", default=True),
    Queue("short", max_time_s=3600),
    Queue("low", tier=1, preemptable=True),
    Queue("vip", tier=20),
    Queue("closed", up=False),
)


class LsfFace:
    """What the controller and the runner need to know of the dialect.

    Signals as recorded: CONT and INT, then TERM, then KILL, JOB_TERMINATE_INTERVAL (`kill_wait_s`) apart;
    at the run limit USR2, and KILL after ten minutes (`limit_wait_s`). A job of the queue `low` that must
    give way is killed, or put back if it was submitted with -r (a site's JOB_CONTROLS; LSF itself suspends).
    """

    manners = Manners(
        queues=QUEUES,
        stop=((signal.SIGCONT, signal.SIGINT), (signal.SIGTERM,)),
        at_limit=((signal.SIGUSR2,),),
        patient_at_limit=True,
        warns="full",
        warns_of_preemption=False,
        speaks=False,
    )
    engine = Engine
    programs: Mapping[str, Program] = {
        "bsub": bsub, "bjobs": bjobs, "bkill": bkill, "bhist": bhist, "brequeue": brequeue, "bstop": bstop,
        "bresume": bresume, "bpeek": bpeek, "bhosts": bhosts, "lshosts": lshosts, "bqueues": bqueues,
        "lsid": lsid, "badmin": badmin, "blaunch": blaunch, "jsrun": jsrun,
    }  # fmt: skip

    def __init__(self, config: Config, folder: Path) -> None:
        self._config, self._folder = config, folder

    def environ(self, job: Job) -> dict[str, str]:
        """Give the environment of a job, and write the host file that it names."""
        return batch_environment(self._config, self._folder, job)

    def file_name(self, job: Job, pattern: str) -> str:
        """Give the file that `%J` and `%I` mean."""
        return spooled(pattern, job)
