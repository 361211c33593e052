"""Starting one launcher of ranks on each node of a job, by whatever its scheduler has for that."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..environment import SCHEDULER_PREFIXES
from ..errors import RecipeError
from ..hpc.launch import Start, node_script, start_on_nodes
from ..hpc.resources import HpcConfig
from .exit_codes import EXIT_NO_START
from .processes import end_tree
from .words import ENDING_SIGNALS, node_words

#: After one node's ranks have failed, the others have this long to see it by themselves.
_GRACE_S = 2.0
_LOOK_S = 0.1
_NAME = re.compile(r"[A-Za-z_]\w*")
#: What belongs to one process or one node, and must not reach another.
_OWN = frozenset({"_", "CUDA_VISIBLE_DEVICES", "HOSTNAME", "OLDPWD", "PWD", "SHLVL", "TMPDIR", "TERM"})


def for_other_nodes(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what the ranks of every node are told: all but what is one node's own."""
    return {
        name: value
        for name, value in environ.items()
        if _NAME.fullmatch(name) and name not in _OWN and not name.startswith(SCHEDULER_PREFIXES)
    }


def plan_starts(
    step: Sequence[str],
    words: Sequence[str],
    nodes: Sequence[str],
    environ: Mapping[str, str],
    config: HpcConfig,
    folder: Path,
) -> list[Start]:
    """Write the nodes' script, and give the commands that start it on each node.

    Args:
        step: the `srun` of the run_cmd; elsewhere than under Slurm it stands for the scheduler's own way.
        words: what starts one node's ranks.

    Raises:
        RecipeError: the `srun` has options, which mean nothing to another launcher.
    """
    launcher = environ.get("FOX_LAUNCHER", "srun")
    if len(step) > 1:
        raise RecipeError(
            f"run_cmd has options of srun ({' '.join(step[1:])}), which {launcher} does not know: "
            "a bare srun stands for one launcher on each node, everywhere"
        )
    script = folder / "node.sh"
    script.write_text(node_script(for_other_nodes(environ), words, Path.cwd()))
    script.chmod(0o700)
    return start_on_nodes(
        launcher,
        nodes,
        ["/bin/bash", str(script)],
        cpus=config.cpus_per_node,
        gpus=config.gpus_per_node,
        torque=environ.get("PBS_VERSION", "").startswith("TORQUE"),
    )


def run_starts(
    commands: Sequence[Sequence[str]],
    environ: Mapping[str, str],
    folder: Path,
    *,
    on_start: Callable[[], object],
    told: threading.Event,
    owned: bool = False,
) -> int:
    """Run commands side by side until all have ended; the first that fails ends the others.

    Args:
        on_start: called once all have been started.
        told: set once this process is told to end, maybe before it has come here.
        owned: give each a pipe whose other end is this process, so that it sees this one's death.

    Returns:
        the exit code of the first that failed, or that a node's launcher left word of; 0 if none did.
    """
    children: list[subprocess.Popen[bytes]] = []

    def end(*_: object) -> None:
        told.set()
        for child in children:
            child.terminate()

    # The ranks must hear it, and this process must outlive them, so that the scheduler finds the job ended by
    # its own signal.
    for signum in ENDING_SIGNALS:
        signal.signal(signum, end)
    for command in commands:
        try:
            stdin = subprocess.PIPE if owned else subprocess.DEVNULL
            children.append(subprocess.Popen(command, env=dict(environ), stdin=stdin))
            if told.is_set():
                # The order came while this one was being started, and reached only those before it.
                children[-1].terminate()
        except OSError as error:
            print(f"fox-hpc: cannot start {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
            _end(children)
            return EXIT_NO_START
    on_start()
    code = _wait(children)
    words = [word.exit_code for word in node_words(folder) if word.exit_code]
    return code or (words[0] if words else 0)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    failed: int | None = None
    since = 0.0
    while any(child.poll() is None for child in children):
        codes = [child.returncode for child in children if child.returncode]
        if codes and failed is None:
            failed, since = codes[0], time.monotonic()
        if failed is not None and time.monotonic() - since > _GRACE_S:
            _end(children)
        time.sleep(_LOOK_S)
    code = failed if failed is not None else next((c.returncode for c in children if c.returncode), 0)
    return code if code >= 0 else 128 - code


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            end_tree(child.pid)
