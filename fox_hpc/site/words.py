"""Words: what the processes of a job leave behind in its attempt's folder, for whoever asks how it ended."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec

from ..spec import write_atomically

#: By these a scheduler ends a job: all of them by TERM, and LSF by INT ten seconds before.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Its being there tells the ranks that their time is up, whatever their deadline was.
DRAIN_FILE = "drain"


class Ended(msgspec.Struct):
    """How a process of the job ended.

    `ended.json` is the driver's, and the last witness of the job's end; `node-N.json` is that of the
    N-th node's launcher. `told` says that it was ended from outside, by a signal: of the driver, that it
    was, or the ranks of all nodes.
    """

    exit_code: int
    host: str
    at: float
    told: bool = False


def leave_word(folder: Path, name: str, word: Ended) -> None:
    """Write how a process ended."""
    write_atomically(folder / f"{name}.json", msgspec.json.encode(word))


def read_word(folder: Path, name: str) -> Ended | None:
    """Read how a process ended, None while nobody has said it."""
    try:
        return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Ended)
    except (OSError, msgspec.MsgspecError):
        return None


def read_ended(folder: Path) -> Ended | None:
    """Read the driver's last word, if there is one."""
    return read_word(folder, "ended")


def node_words(folder: Path) -> list[Ended]:
    """Read what the nodes' launchers have said."""
    found = [read_word(folder, path.stem) for path in sorted(folder.glob("node-*.json"))]
    return [word for word in found if word is not None]


def was_ended_from_outside(folder: Path) -> bool:
    """Tell whether every node's ranks were ended by a signal: none of them failed by itself."""
    words = node_words(folder)
    return bool(words) and all(word.told for word in words)


def forget_words(folder: Path) -> None:
    """Take away what an earlier start of the same job, which its scheduler put back, has left."""
    stale = [folder / name for name in ("ended.json", "ranks.json", DRAIN_FILE)]
    for path in [*stale, *folder.glob("node-*.json")]:
        path.unlink(missing_ok=True)
