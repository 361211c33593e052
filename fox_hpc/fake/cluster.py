"""`FakeCluster`: a fake scheduler that lives as long as its owner."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from fox_hpc.fake import processes, trouble
from fox_hpc.fake.jobs import Config
from fox_hpc.fake.line import SPOOL, connect

PROGRAMS = {
    "slurm": ("sbatch", "squeue", "sacct", "scancel", "srun", "scontrol", "sinfo"),
    "pbs": ("qsub", "qstat", "qdel", "qrerun", "qsig", "qhold", "qrls", "qalter", "qselect", "pbsdsh",
            "pbs_tmrsh", "pbsnodes"),
    "lsf": ("bsub", "bjobs", "bkill", "bhist", "brequeue", "bstop", "bresume", "bpeek", "bhosts", "lshosts",
            "bqueues", "lsid", "badmin", "blaunch", "jsrun"),
}  # fmt: skip
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
_HOUSE = Path(__file__).resolve().parents[2]
_SHEBANG_LIMIT = 120


class FakeCluster:
    """A fake scheduler with real programs, for as long as this process lives.

    `with FakeCluster(nodes=2) as cluster: subprocess.run(["sbatch", …], env={**os.environ, **cluster.env})`

    Other options are the fields of `fox_hpc.fake.jobs.Config`; an unknown one raises TypeError with the
    right ones. Without `folder`, a temporary one is used and removed.
    """

    def __init__(
        self,
        dialect: str = "slurm",
        nodes: int = 4,
        cpus: int = 4,
        gpus: int = 2,
        mem_mb: int = 8000,
        folder: str | os.PathLike[str] | None = None,
        accounting: bool = True,
        **options: Any,
    ) -> None:
        known = [field.name for field in fields(Config)]
        wrong = sorted(set(options) - set(known))
        if wrong:
            raise TypeError(f"FakeCluster has no option {', '.join(wrong)}; it has {', '.join(known)}")
        if dialect not in PROGRAMS:
            raise ValueError(f"no fake for dialect {dialect!r}; there is one for {', '.join(PROGRAMS)}")
        self.config = Config(nodes=nodes, cpus=cpus, gpus=gpus, mem_mb=mem_mb, dialect=dialect,
                             accounting=accounting, temporary=folder is None, **options)  # fmt: skip
        self._wanted = folder
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def __repr__(self) -> str:
        state = f"up at {self._folder}" if self._process else "down"
        return f"<FakeCluster {self.config.dialect} · {self.config.nodes} nodes · {state}>"

    @property
    def folder(self) -> Path:
        """The spool; raises RuntimeError while the cluster is down."""
        if self._folder is None:
            raise RuntimeError("the fake cluster is not up")
        return self._folder

    @property
    def bin(self) -> Path:
        """Folder of the programs."""
        return self.folder / "bin"

    @property
    def env(self) -> dict[str, str]:
        """Variables to set for whoever uses the cluster."""
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": f"{self.bin}{os.pathsep}{path}", SPOOL: str(self.folder)}

    def up(self) -> FakeCluster:
        """Bring it up; returns once its programs answer. Raises RuntimeError if it does not come up."""
        if self._process is not None:
            return self
        self._folder = _new_folder(self._wanted)
        (self._folder / "config.json").write_text(json.dumps(asdict(self.config)))
        self._write_programs()
        try:
            self._start_controller()
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        """End every job and the controller; a temporary folder is removed. Twice is once."""
        process, self._process = self._process, None
        if process is None or self._folder is None:
            return
        tag_file = self._folder / "controller.tag"
        tag = tag_file.read_text() if tag_file.exists() else ""
        self._cut_lifeline()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Nothing is left of a controller that left by itself; one that was killed leaves its jobs.
        while tag and process.returncode and processes.kill_cluster(tag):
            time.sleep(0.01)
        if self.config.temporary:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def trouble(self, **values: Any) -> None:
        """Make things go wrong, or well again, from now on.

        Names are the troubles of `Config` (query_delay_s, queries_fail_s, lost_submits, failed_submits,
        frozen, broken_json), `fail_node` and `restore_node` with a node's name, and `time_left_s`: all
        that runs meets its time limit so many seconds from now. Raises ValueError for another one.
        """
        words = [f"{name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in values.items()]
        line = connect(str(self.folder))
        with line.socket:
            line.send({"program": trouble.PROGRAM, "argv": words, "env": {}, "cwd": "/", "user": "",
                       "uid": os.getuid()})  # fmt: skip
            answer = line.receive()
        if answer["code"]:
            raise ValueError(answer["err"].strip())

    def __enter__(self) -> FakeCluster:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _start_controller(self) -> None:
        read_end, self._lifeline = os.pipe()
        _LIFELINES.add(self)
        log = self.folder / "controller.log"
        env = {key: value for key, value in os.environ.items() if key not in processes.TAGS}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_HOUSE), env.get("PYTHONPATH")]))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fox_hpc.fake.controller", str(self.folder), str(read_end)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd="/",
                pass_fds=(read_end,), start_new_session=True,
            )  # fmt: skip
        os.close(read_end)
        self._wait_for_address(log)

    def _wait_for_address(self, log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.folder / "address").exists():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the fake scheduler did not come up: {log.read_text()[-2000:]}")
            time.sleep(0.005)

    def _cut_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _write_programs(self) -> None:
        self.bin.mkdir(exist_ok=True)
        for name in (*PROGRAMS[self.config.dialect], trouble.PROGRAM):
            _write_executable(self.bin / name, _python_program(name))
        _write_executable(self.bin / "hostname", _hostname_program())
        # For jobs that do not get the folder of all programs: a folder with what differs on a node.
        node_bin = self.folder / "node_bin"
        node_bin.mkdir(exist_ok=True)
        _write_executable(node_bin / "hostname", _hostname_program())


def _new_folder(wanted: str | os.PathLike[str] | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="fox-fake-"))
    folder = Path(wanted).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        connect(str(folder)).socket.close()
        raise RuntimeError(f"a fake cluster is up in {folder} already")
    (folder / "address").unlink(missing_ok=True)
    (folder / "socket").unlink(missing_ok=True)
    return folder


def _python_program(name: str) -> str:
    body = (
        f"import sys\nsys.path.insert(0, {str(_HOUSE)!r})\n"
        f"from fox_hpc.fake.client import main\nsys.exit(main({name!r}))\n"
    )
    python = sys.executable
    if len(python) < _SHEBANG_LIMIT and " " not in python:
        return f"#!{python} -I\n{body}"
    # The kernel cuts long first lines and splits at blanks: sh starts python, which reads the same file.
    return f"#!/bin/sh\n'''exec' {shlex.quote(python)} -I \"$0\" \"$@\"\n' '''\n{body}"


def _hostname_program() -> str:
    real = shutil.which("hostname") or "uname"
    otherwise = f'exec {shlex.quote(real)} "$@"' if real != "uname" else "exec uname -n"
    return f"""#!/bin/sh
case "$*" in
"" | -s | -f | --short | --fqdn | --long) [ -n "$FOX_FAKE_NODE" ] && echo "$FOX_FAKE_NODE" && exit 0 ;;
esac
{otherwise}
"""


def _write_executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


_LIFELINES: weakref.WeakSet[FakeCluster] = weakref.WeakSet()


def _drop_lifelines_in_child() -> None:
    # A forked child that kept the pipe open would keep the cluster up after its owner's death.
    for cluster in list(_LIFELINES):
        with contextlib.suppress(OSError):
            cluster._cut_lifeline()
        cluster._process = None


os.register_at_fork(after_in_child=_drop_lifelines_in_child)
