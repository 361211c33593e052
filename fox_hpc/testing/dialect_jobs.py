"""What the jobs of check_dialect run; pickled by name, and so in a module that every node can import."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ..environment import process_environ
from ..hpc.commands import communicate
from ..hpc.launch import node_script, start_on_nodes
from ..hpc.nodes import job_nodes

#: The variable whose value must arrive, and one of all that a shell, a scheduler or a list may trip over.
VARIABLE = "FOX_CHECKED"
AWKWARD = "a,b=\"c\" 'd' $HOME ${HOME} $(id) `id` \\ %j {} ; & | ! # * ?\n\tx=y,"
GATE, WARNED, VALUE, NODES, NODE = "go", "warned", "value", "nodes", "node-"
_LONGEST_S, _LOOK_S = 600.0, 0.05


def wait_at_gate(folder: Path) -> None:
    """Say so on both streams, and stay until the gate file is there."""
    print("words for stdout", flush=True)  # noqa: T201
    print("words for stderr", file=sys.stderr, flush=True)  # noqa: T201
    # A job that was forgotten ends by itself.
    deadline = time.monotonic() + _LONGEST_S
    while not (folder / GATE).exists() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def leave(exit_code: int) -> None:
    """End with an exit code."""
    raise SystemExit(exit_code)


def warned_script(folder: Path) -> str:
    """Give a program that notes its limit, and when the scheduler warns; and that stays all the same.

    It loads next to nothing, to listen early: a warning that comes before that is lost.
    """
    return f"""\
import os, signal, time
os.chdir({str(folder)!r})
signal.signal(signal.SIGUSR2, lambda *_: open({WARNED!r}, "w").close())
with open({VALUE!r}, "w") as file:
    print(os.environ["FOX_TIME_LIMIT_S"], os.environ["FOX_SIGNAL_LEAD_S"], file=file)
time.sleep({_LONGEST_S})
"""


def write_value(folder: Path) -> None:
    """Write down the variable as this node has it and, by the scheduler's launcher, as each node has it."""
    environ = process_environ()
    value = environ.get(VARIABLE, "")
    (folder / VALUE).write_text(value)
    nodes = job_nodes(environ, lambda name: Path(name).read_text())
    (folder / NODES).write_text("\n".join(nodes))
    script = folder / "node.sh"
    words = ["/bin/bash", "-c", f'printf %s "${VARIABLE}" > {NODE}"$FOX_NODE_RANK"']
    script.write_text(node_script({VARIABLE: value}, words, folder))
    torque = environ.get("PBS_VERSION", "").startswith("TORQUE")
    launcher = environ.get("FOX_LAUNCHER", "")
    for start in start_on_nodes(launcher, nodes, ["/bin/bash", str(script)], torque=torque):
        code, _, stderr = communicate(list(start.argv), dict(environ), _LONGEST_S)
        if code:
            sys.exit(f"{start.argv[0]} ended with {code}: {stderr}")
