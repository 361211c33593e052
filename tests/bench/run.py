"""The benchmark suite: `scripts/bench [--only GROUP] [--json] [--quick]`; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bench_codec
import bench_history
import bench_poll
import bench_start
import bench_submit
import bench_traffic
from bench_figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Group → what measures it: in full, and quickly.
GROUPS: dict[str, tuple[Callable[[], Iterator[Figure]], Callable[[], Iterator[Figure]]]] = {
    "import": (lambda: bench_start.imports(11), lambda: bench_start.imports(7)),
    "sim": (lambda: bench_start.sim(7, 300), lambda: bench_start.sim(3, 50)),
    "codec": (lambda: bench_codec.codec(15), lambda: bench_codec.codec(5)),
    "call": (lambda: bench_traffic.call(7, 500), lambda: bench_traffic.call(3, 200)),
    "rounds": (lambda: bench_traffic.rounds(200), lambda: bench_traffic.rounds(30)),
    "model": (lambda: bench_traffic.model(3), lambda: bench_traffic.model(1)),
    "memory": (lambda: bench_traffic.memory(2), lambda: bench_traffic.memory(1)),
    "submit": (lambda: bench_submit.submit(3), lambda: bench_submit.submit(1)),
    "poll": (lambda: bench_poll.poll(5), lambda: bench_poll.poll(1)),
    "submissions": (lambda: bench_poll.submissions(), lambda: bench_poll.submissions("slurm")),
}


def main() -> None:
    """Measure, print, keep."""
    options = _options()
    # The ends of all processes hang on `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = bench_history.last_values(options.history, quick=options.quick)
    stamp = {"date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "commit": bench_history.commit()}
    lines: list[dict[str, Any]] = []
    for group in options.only or GROUPS:
        begun, load = time.monotonic(), os.getloadavg()[0]
        made = [{"group": group, **figure.line()} for figure in GROUPS[group][options.quick]()]
        lines += made
        bench_history.append(
            options.history,
            [{**line, **stamp, "quick": options.quick, "load": round(load, 2)} for line in made],
        )
        if options.json:
            print(*(json.dumps(line, ensure_ascii=False) for line in made), sep="\n", flush=True)
        else:
            print(f"{group}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    if not options.json:
        # In a file or a pipe there is no terminal whose width could be asked.
        Console(width=None if sys.stdout.isatty() else 120).print(_table(lines, before))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description="What things cost, beside what they could.")
    parser.add_argument("--only", action="append", choices=GROUPS, help="this group; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON lines and nothing else")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: under 50 s for everything")
    parser.add_argument("--history", type=Path, default=bench_history.DEFAULT, help=argparse.SUPPRESS)
    return parser.parse_args()


def _table(lines: list[dict[str, Any]], before: Mapping[str, float]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title=f"fox-hpc on {os.cpu_count()} cores")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("of its limit", justify="right", no_wrap=True)
    table.add_column("of its peers in this run", no_wrap=True)
    table.add_column("since last", justify="right", no_wrap=True)
    for line in lines:
        value = f"{line['value']:g} {line['unit']}"
        peers = "\n".join(_peers(line))
        table.add_row(line["name"], value, _limit(line), peers, _change(line, before))
    return table


def _limit(line: Mapping[str, Any]) -> str:
    ratio = line.get("ratio_to_limit")
    if ratio is None:
        return ""
    return f"[{'green' if ratio <= 1 else 'red'}]{ratio:.2f}[/] of {line['limit']:g}"


def _peers(line: Mapping[str, Any]) -> Iterator[str]:
    for key, ratio in line.items():
        peer = key.removeprefix("ratio_to_")
        if peer not in (key, "limit"):
            yield f"{ratio:.3g} of {peer} ({line[peer]:g})"


def _change(line: Mapping[str, Any], before: Mapping[str, float]) -> str:
    last = before.get(line["name"])
    return f"{line['value'] / last - 1:+.0%}" if last else ""


if __name__ == "__main__":
    main()
