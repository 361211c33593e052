"""The nodes' names in /etc/hosts: a marked block, put in and taken out without a trace."""

from __future__ import annotations

from pathlib import Path

HOSTS = Path("/etc/hosts")
BEGIN, END = "# slurm-cluster begins: ", "# slurm-cluster ends\n"


class Refusal(Exception):
    """The cluster cannot come up, or cannot go down; says why."""


def address(node: str) -> str:
    return f"127.0.0.{10 + int(node.removeprefix('node'))}"


def extend_hosts(state: Path, nodes: list[str]) -> None:
    """Give the nodes their addresses; written in place, because a container's file cannot be replaced."""
    restore_hosts(state)
    text = read_hosts()
    taken = set(nodes) & {word for line in text.splitlines() for word in line.partition("#")[0].split()[1:]}
    if taken or BEGIN in text:
        names = ", ".join(sorted(taken)) or "a block"
        raise Refusal(f"{HOSTS} has {names} of another cluster: take that down first")
    HOSTS.write_text(f"{text}\n{BEGIN}{state}\n" + "".join(f"{address(n)} {n}\n" for n in nodes) + END)


def restore_hosts(state: Path) -> None:
    text = read_hosts()
    before, begin, after = text.partition(f"\n{BEGIN}{state}\n")
    if begin and (rest := before + after.partition(END)[2]):
        HOSTS.write_text(rest)
    elif begin:
        HOSTS.unlink()


def read_hosts() -> str:
    """Give the file's text, which a bare container may lack."""
    return HOSTS.read_text() if HOSTS.exists() else ""
