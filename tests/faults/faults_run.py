"""`scripts/faults`: runs scenarios of the fault suite and prints what became of them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from chain import PLACES
from scenario import Outcome, run, run_outage


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many seeds (200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument(
        "--outage",
        type=float,
        metavar="SECONDS",
        help="instead: with the waits of a real run, break each connection once, for so long; e.g. 60",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each scenario")
    parser.add_argument("--log", action="store_true", help="show what the package logs")
    chosen = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if chosen.log else logging.CRITICAL,
        format="%(relativeCreated)7d %(threadName)s %(message)s",
    )
    outcomes = []
    if chosen.outage:
        # They wait most of the time.
        with ThreadPoolExecutor(len(PLACES)) as pool:
            for outcome in pool.map(lambda place: run_outage(place, chosen.outage, chosen.first), PLACES):
                outcomes.append(outcome)
                show(outcome, chosen.json)
        return summary(outcomes, chosen.json)
    for seed in range(chosen.first, chosen.first + chosen.count):
        outcomes.append(run(seed))
        show(outcomes[-1], chosen.json)
    return summary(outcomes, chosen.json)


def summary(outcomes: list[Outcome], as_json: bool) -> int:
    bad, errors = [one for one in outcomes if one.wrong], [one for one in outcomes if one.errors]
    if not as_json:
        right, slowest = len(outcomes) - len(bad) - len(errors), max(one.seconds for one in outcomes)
        print(
            f"{len(outcomes)} scenarios: {right} ended with the right bytes, {len(errors)} with named errors,"
        )
        print(f"{len(bad)} are wrong; the slowest took {slowest:.1f} s")
    return 1 if bad else 0


def show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(outcome)), flush=True)
        return
    verdict = "WRONG" if outcome.wrong else "error" if outcome.errors else "right"
    print(f"{outcome.seed:5} {verdict} {outcome.seconds:5.1f} s  {', '.join(outcome.what)}", flush=True)
    for line in outcome.wrong + outcome.errors:
        print(f"            {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
