"""`scripts/fuzz`: harms what the package says; every parser must refuse it by name and in little memory."""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from parsers import PARSERS, mutate, seeds

#: More memory than this, beyond what there is when it begins, is not had: MemoryError is then a finding.
MORE_BYTES = 2**30
#: A byte of a header becomes an object of this size at most; beside that a parser may need so much.
OBJECT_BYTES, ASIDE_BYTES = 100, 2**20
#: One in so many is measured; that takes longer.
MEASURED = 20


class Finding(Exception):
    """A parser did what it must not do."""


def check(name: str, frames: list[bytes], *, measured: bool = False) -> bool:
    """Let a parser read frames; True if it took them.

    Raises:
        Finding: it raised something else than it may, or took too much memory.
    """
    parser, may = PARSERS[name]
    if measured:
        tracemalloc.start()
    try:
        parser([bytes(frame) for frame in frames])
        taken = True
    except may:
        taken = False
    except Exception as error:
        raise Finding(f"{name} raises {error!r}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        tracemalloc.stop()
    allowed = ASIDE_BYTES + OBJECT_BYTES * sum(len(frame) for frame in frames)
    if peak > allowed:
        raise Finding(f"{name} takes {peak} bytes of memory for {sum(map(len, frames))}")
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after so many (10)")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="stop after so many (1000000)")
    parser.add_argument("--seed", type=int, default=None, help="what chance begins with (the clock)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    chosen = parser.parse_args()
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    bound_memory()
    deadline, started = time.monotonic() + 60 * chosen.minutes, time.monotonic()
    count, taken, findings = 0, Counter[str](), []
    chance, known = random.Random(seed), seeds()
    while count < chosen.inputs and time.monotonic() < deadline and len(findings) < 10:
        name, frames = chance.choice(known)
        # What one parser reads is given to another, too.
        name = name if chance.random() < 0.9 else chance.choice(list(PARSERS))
        frames = mutate(frames, chance)
        count += 1
        try:
            taken[name] += check(name, frames, measured=count % MEASURED == 0)
        except Finding as error:
            findings.append({"what": str(error), "frames": [frame.hex() for frame in frames]})
            if not chosen.json:
                print(f"{error}\n  {[frame.hex() for frame in frames]}", flush=True)
                traceback.print_exception(error.__cause__)
    told = {"inputs": count, "taken": sum(taken.values()), "seed": seed, "findings": findings}
    told["seconds"] = round(time.monotonic() - started, 1)
    if chosen.json:
        print(json.dumps(told))
    else:
        print(
            f"{count} inputs in {told['seconds']} s (--seed {seed}): {told['taken']} were taken, the others "
            f"refused by name; {len(findings)} findings"
        )
    return 1 if findings else 0


def bound_memory() -> None:
    """Have no more memory than MORE_BYTES beyond what this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_BYTES,) * 2)


if __name__ == "__main__":
    sys.exit(main())
