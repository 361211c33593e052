"""The benchmark suite, `scripts/bench`: words and figures are explained in docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import bench_codec
import bench_curve
import bench_fan_out
import bench_field
import bench_history
import bench_link
import bench_memory
import bench_poll
import bench_relay
import bench_rounds
import bench_start
import bench_submit
from bench_figure import Figure

#: Group → what measures it, given whether to be quick, and the sizes of models in MiB.
GROUPS: dict[str, Callable[[bool, Sequence[int]], Iterator[Figure]]] = {
    "start-up": lambda quick, _: chain(
        bench_start.imports(7 if quick else 11), bench_start.sim(3 if quick else 7, 50 if quick else 300)
    ),
    "codec": lambda quick, _: bench_codec.codec(5 if quick else 15),
    "curve": lambda quick, _: bench_curve.curve(*((3, 200, 3, 16) if quick else (7, 500, 7, 64))),
    "link": lambda quick, _: bench_link.link(*((3, 200, 3, 16) if quick else (7, 500, 7, 64))),
    "relay": lambda quick, mib: bench_relay.relay(*((3, 200, 3) if quick else (7, 500, 5)), mib),
    "rounds": lambda quick, _: bench_rounds.rounds(*((30, 3) if quick else (200, 20)), 1000, 256),
    "fan-out": lambda quick, _: bench_fan_out.fan_out(
        *((1, (1, 2, 4), 8, (2, 16)) if quick else (5, (1, 2, 4, 8), 32, (2, 8, 128)))
    ),
    "memory": lambda quick, mib: bench_memory.memory(2 if quick else 3, mib),
    "submit": lambda quick, _: bench_submit.submit(1 if quick else 3),
    "poll": lambda quick, _: bench_poll.poll(1 if quick else 5),
    "submissions": lambda quick, _: bench_poll.submissions(*(("slurm",) if quick else ())),
    "peers": lambda quick, mib: bench_field.peers(*((5, mib[0], 1) if quick else (20, mib[0], 3))),
}
FULL_MIB, QUICK_MIB = 256, 128


def main() -> None:
    """Measure, print, keep."""
    options = _options()
    # The ends of all processes hang on `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = options.mib or [QUICK_MIB if options.quick else FULL_MIB]
    before = bench_history.last_values(options.history, quick=options.quick, mib=sizes)
    stamp = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": bench_history.commit(),
        "quick": options.quick,
        "mib": sizes,
    }
    lines: list[dict[str, Any]] = []
    for group in _groups(options):
        begun, load = time.monotonic(), os.getloadavg()[0]
        made = _measured(group, options.quick, sizes)
        lines += made
        bench_history.append(options.history, [{**line, **stamp, "load": round(load, 2)} for line in made])
        if options.json:
            for line in made:
                print(json.dumps(line, ensure_ascii=False), flush=True)
        else:
            print(f"{group}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    if not options.json:
        print(*_table(lines, before), sep="\n")


def _groups(options: argparse.Namespace) -> list[str]:
    groups = options.only or [name for name in GROUPS if name != "peers" or bench_field.installed()]
    if options.peers:
        try:
            bench_field.install()
        except bench_field.NoPeers as error:
            print(f"scripts/bench: {error}", file=sys.stderr)
        else:
            groups = [*dict.fromkeys([*groups, "peers"])]
    return groups


def _measured(group: str, quick: bool, sizes: Sequence[int]) -> list[dict[str, Any]]:
    try:
        return [{"group": group, **figure.line()} for figure in GROUPS[group](quick, sizes)]
    except bench_field.NoPeers as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description="What things cost, beside what they could.")
    parser.add_argument("--only", action="append", choices=GROUPS, help="this group; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON lines and no table")
    parser.add_argument("--quick", action="store_true", help="fewer repeats and smaller models")
    parser.add_argument(
        "--mib",
        action="append",
        type=int,
        help="size of the model in the groups relay, memory and peers; may be given again, e.g. for 1024",
    )
    parser.add_argument(
        "--peers", action="store_true", help="install NVFlare and Flower, and measure them too"
    )
    parser.add_argument("--history", type=Path, default=bench_history.DEFAULT, help=argparse.SUPPRESS)
    return parser.parse_args()


def _table(lines: list[dict[str, Any]], before: Mapping[str, float]) -> Iterator[str]:
    yield f"fox-hpc on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    yield ""
    yield "| figure | value | limit | beside its peers in this run | since last |"
    yield "| --- | --- | --- | --- | --- |"
    for line in lines:
        value, peers = f"{line['value']:g} {line['unit']}", ", ".join(_peers(line))
        yield f"| {line['name']} | {value} | {_limit(line)} | {peers} | {_change(line, before)} |"


def _limit(line: Mapping[str, Any]) -> str:
    if line["limit"] is None:
        return ""
    return f"{line['limit']:g}, {'held' if line['held'] else 'MISSED'}"


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
