"""The process that keeps a small real Slurm: starts its daemons and ends all that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.hosts import Refusal, address, extend_hosts, restore_hosts

PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
#: How long a daemon may take to be of use, and all nodes to be idle.
DAEMON_S, READY_S = 60, 60
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)

WITH_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={state}/munge.socket
"""


def template(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


class Keeper:
    """Starts the daemons in order, waits for a signal, and ends all that is below it."""

    def __init__(self, state: Path, nodes: int, cpus: int, accounting: bool, port: int) -> None:
        self.state, self.accounting, self.port = state, accounting, port
        self.nodes, self.cpus = [f"node{number}" for number in range(1, nodes + 1)], cpus
        self.host = socket.gethostname().split(".")[0]
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        self.ended: dict[int, int] = {}
        os.environ.update(SLURM_CONF=str(state / "slurm.conf"), PATH=PATH)

    def run(self) -> None:
        """Keep the cluster until a signal; whatever happens, leave nothing."""
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            self.write_files()
            self.start_daemons()
            self.wait("all nodes to be idle", self.all_idle, READY_S)
            (self.state / "ready").touch()
            while True:
                time.sleep(0.2)
                self.reap()
                self.start_again()
        except Refusal as error:
            sys.exit(str(error))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.end_all()
            restore_hosts(self.state)
            (self.state / "ready").unlink(missing_ok=True)

    def write_files(self) -> None:
        first_job = 1_000_000 + int(time.time()) % 60_000_000
        facts = {"state": self.state, "host": self.host, "port": self.port, "first_job": first_job}
        lines = [
            f"NodeName={name} NodeHostname={self.host} NodeAddr={address(name)} "
            f"Port={self.port + 10 + number} CPUs={self.cpus} RealMemory=8000"
            for number, name in enumerate(self.nodes)
        ]
        database = WITH_ACCOUNTING.format(port=self.port + 1, state=self.state) if self.accounting else ""
        text = template("slurm.conf").format(**facts, accounting=database, nodes="\n".join(lines))
        (self.state / "slurm.conf").write_text(text)
        # slurmd loads a plugin for cgroups although it uses none: by itself the one for those of the machine,
        # and it does not start where there are none, or where only systemd may make them.
        (self.state / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        write_private(self.state / "munge.key", secrets.token_bytes(128))
        for folder in ("controller", "database", *(f"spool-{name}" for name in self.nodes)):
            (self.state / folder).mkdir()
        extend_hosts(self.state, self.nodes)

    def start_daemons(self) -> None:
        files = {
            "socket": "socket",
            "key-file": "key",
            "seed-file": "seed",
            "pid-file": "pid",
            "log-file": "log",
        }
        options = [f"--{option}={self.state}/munge.{ending}" for option, ending in files.items()]
        self.start("munged", "munged", "--foreground", *options)
        self.wait("munged to answer", lambda: self.ask("munge", "-n", f"--socket={self.state}/munge.socket"))
        if self.accounting:
            self.start_accounting()
        self.start("slurmctld", "slurmctld", "-D", "-i")
        self.wait("slurmctld to answer", lambda: "UP" in self.ask("scontrol", "ping"))
        if self.accounting:
            # Before that, what jobs do is not recorded.
            port = ("sacctmgr", "-n", "-P", "list", "cluster", "format=controlport")
            self.wait("slurmctld's entry", lambda: self.ask(*port).strip() == str(self.port))
        for name in self.nodes:
            self.start(name, "slurmd", "-D", "-N", name)

    def start_again(self) -> None:
        """Start the nodes whose return was asked for, once their old daemon is gone."""
        for wish in self.state.glob("start-*"):
            name = wish.name.removeprefix("start-")
            if self.started[name].pid in self.ended:
                self.start(name, "slurmd", "-D", "-N", name)
                wish.unlink()

    def start_accounting(self) -> None:
        data, password = self.state / "database", secrets.token_hex(16)
        user = "slurm@'127.0.0.1'"
        sql = f"CREATE USER {user} IDENTIFIED BY '{password}';\nGRANT ALL ON accounting.* TO {user};\n"
        write_private(self.state / "database.sql", sql.encode())
        facts = {"host": self.host, "port": self.port + 1, "storage_port": self.port + 2, "state": self.state}
        facts["password"] = password
        write_private(self.state / "slurmdbd.conf", template("slurmdbd.conf").format(**facts).encode())
        common = ("--no-defaults", f"--datadir={data}", "--user=root")
        # Without force it wants to look the host's name up, which a container may not have in its hosts file.
        how = ("--force", "--skip-test-db", "--auth-root-authentication-method=normal")
        made = subprocess.run(
            ["mariadb-install-db", *common, *how],
            capture_output=True, text=True, timeout=DAEMON_S, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Refusal(f"mariadb-install-db failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
        ports = (f"--port={self.port + 2}", "--bind-address=127.0.0.1", "--skip-name-resolve")
        files = {"socket": "socket", "init-file": "sql", "pid-file": "pid"}
        options = [f"--{option}={self.state}/database.{ending}" for option, ending in files.items()]
        self.start("mariadbd", "mariadbd", *common, *ports, *options)
        self.wait("mariadbd to answer", lambda: self.listens(self.port + 2))
        self.start("slurmdbd", "slurmdbd", "-D")
        self.wait("slurmdbd to answer", lambda: self.listens(self.port + 1))
        self.wait("the cluster's entry", lambda: self.ask("sacctmgr", "-i", "add", "cluster", "foxtest"))

    def start(self, name: str, *words: str) -> None:
        """Start a daemon in the foreground; it is killed if the keeper is."""
        with (self.state / "log" / f"{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.state,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
                start_new_session=True,
            )

    def wait(self, what: str, condition: Callable[[], object], patience_s: float = DAEMON_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            self.reap()
            for name, process in self.started.items():
                if process.pid in self.ended:
                    raise Refusal(f"{name} ended with {self.ended[process.pid]}; {self.tail(name)}")
            if time.monotonic() > deadline:
                name = list(self.started)[-1]
                raise Refusal(f"waited {patience_s} s for {what}; {self.tail(name)}")
            time.sleep(0.1)

    def tail(self, name: str) -> str:
        logs = [self.state / "log" / f"{name}.log", *([self.state / "munge.log"] if name == "munged" else [])]
        lines = [
            line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()
        ]
        return "\n  ".join([f"the end of {name}'s log:", *lines[-15:]])

    def ask(self, *words: str) -> str:
        """Run a command; its answer, or nothing if it fails."""
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout if done.returncode == 0 else ""

    def listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def all_idle(self) -> bool:
        return self.ask("sinfo", "-h", "-N", "-p", "batch", "-o", "%t").split() == ["idle"] * len(self.nodes)

    def reap(self) -> None:
        """Take note of children that ended; those of the daemons come here too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.ended[pid] = os.waitstatus_to_exitcode(status)

    def end_all(self) -> None:
        """Ask the daemons to end, the last one first; then kill what is left, jobs and all."""
        for process in reversed(self.started.values()):
            if process.pid not in self.ended:
                send(process.pid, signal.SIGTERM)
                deadline = time.monotonic() + 5
                while process.pid not in self.ended and time.monotonic() < deadline:
                    time.sleep(0.02)
                    self.reap()
        while left := descendants(os.getpid()):
            for pid in left:
                send(pid, signal.SIGKILL)
            time.sleep(0.05)
            self.reap()


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(root: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {pid: parent_of(pid) for pid in pids}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def processes_on(node: str, keeper: int) -> list[int]:
    """Find a node's daemon and what runs there: jobs say where in their environment, slurmstepd nowhere."""
    below, found = set(descendants(keeper)), set()
    for pid in below:
        words, environ = (read_proc(pid, name).split(b"\0") for name in ("cmdline", "environ"))
        daemon = words[:1] == [b"slurmd"] and node.encode() in words
        if not daemon and f"SLURMD_NODENAME={node}".encode() not in environ:
            continue
        found.add(pid)
        # The slurmstepd over a job's processes; slurmd gives it up at once, and the keeper gets it.
        while not daemon and (pid := parent_of(pid)) in below:
            found.add(pid)
    return sorted(found)


def read_proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""  # it has just ended


def parent_of(pid: int) -> int:
    """Give a process's parent, 0 if it has just ended."""
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def write_private(file: Path, content: bytes) -> None:
    file.touch(0o600)
    file.write_bytes(content)
