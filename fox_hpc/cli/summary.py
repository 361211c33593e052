"""What is left on the screen when a run has ended: its curves as a table, its result, where things are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..record import RunRecord
from .view import rounds

Scalar = tuple[str, str, int | None, float]

#: With more sites than this, a tag's values are shown as their mean.
MOST_SITES = 6
#: With more columns than this, too.
MOST_COLUMNS = 10
#: The most rows of the table: the last ones.
MOST_ROWS = 40


@dataclass(frozen=True)
class Pivot:
    """Scalars as a table: a row per step, a column per curve; None where a curve has no such step."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[float | None, ...]], ...]


def pivot(scalars: Sequence[Scalar]) -> Pivot:
    """Turn (site, tag, step, value) into a table; the server's curves come first.

    A value without a step has no row. Of two values for one step the later one counts, as after a
    second attempt.
    """
    cells: dict[tuple[str, str], dict[int, float]] = {}
    for site, tag, step, value in scalars:
        if step is not None:
            cells.setdefault((site, tag), {})[step] = value
    tags = list(dict.fromkeys(tag for _, tag in cells))
    ordered = sorted(cells, key=lambda key: (key[0] != "server", tags.index(key[1]), _natural(key[0])))
    sites = {site for site, _ in cells if site != "server"}
    if len(sites) > MOST_SITES or len(cells) > MOST_COLUMNS:
        columns = {tag: cells["server", tag] for site, tag in ordered if site == "server"}
        columns |= {f"mean {tag}": _mean(cells, tag) for site, tag in ordered if site != "server"}
    else:
        columns = {tag if site == "server" else f"{site} {tag}": cells[site, tag] for site, tag in ordered}
    steps = sorted({step for column in columns.values() for step in column})
    rows = tuple((step, tuple(column.get(step) for column in columns.values())) for step in steps)
    return Pivot(tuple(columns), rows)


def _natural(site: str) -> list[tuple[int, str]]:
    """Order names as people do: site-2 before site-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", site)]


def _mean(cells: dict[tuple[str, str], dict[int, float]], tag: str) -> dict[int, float]:
    curves = [curve for (site, name), curve in cells.items() if name == tag and site != "server"]
    steps = {step for curve in curves for step in curve}
    return {step: fmean(curve[step] for curve in curves if step in curve) for step in steps}


def print_summary(console: Console, record: RunRecord, scalars: Sequence[Scalar]) -> None:
    """Print what a run came to."""
    table = pivot(scalars)
    if table.rows:
        console.print()
        console.print(_drawn(table))
        if len(table.rows) > MOST_ROWS:
            console.print(Text(f"(the last {MOST_ROWS} of {len(table.rows)} steps)", style="dim"))
    console.print()
    for name, value in _facts(record):
        console.print(Text.assemble((f"{name:<10}", "dim"), " ", value), soft_wrap=True)


def _drawn(pivot: Pivot) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step", justify="right")
    shown = pivot.rows[-MOST_ROWS:]
    whole = []
    for place, column in enumerate(pivot.columns):
        table.add_column(column, justify="right")
        whole.append(all(values[place] is None or _is_whole(values[place]) for _, values in shown))
    for step, values in shown:
        cells = zip(values, whole, strict=True)
        table.add_row(str(step), *("" if value is None else number(value, short) for value, short in cells))
    return table


def _is_whole(value: float | None) -> bool:
    return value is not None and value.is_integer()


def number(value: float, whole: bool = True) -> str:
    """Write a number in few characters; `whole` numbers without decimals, where a column has no others."""
    if not math.isfinite(value) or (value.is_integer() and whole and abs(value) < 1e6):
        return f"{value:g}"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    took = f" in {(record.ended or record.started) - record.started:.1f} s" if record.ended else ""
    facts = [("run", record.run), ("state", record.state + took)]
    if record.round:
        facts.append(("rounds", rounds(record)))
    facts += _result(record.result)
    if record.state == "DONE":
        # A run that failed ends with the whole error, which names them.
        facts += [("failure", f"{site}: {why}") for site, why in record.failures.items()]
    facts += tracking_facts(record)
    facts.append(("folder", record.folder))
    return facts + [("curves", command) for command in _curves(Path(record.folder))]


def tracking_facts(record: RunRecord) -> list[tuple[str, str]]:
    """Say which logged values were lost, and where."""
    facts = []
    for site, count in record.dropped.items():
        were, their = ("was", "its") if count == 1 else ("were", "their")
        facts.append(("lost", f"{_values(count)} of {site} {were} dropped on {their} way"))
    for receiver, count in record.unwritten.items():
        facts.append(("lost", f"{_values(count)} could not be written by {receiver}"))
    return facts


def _values(count: int) -> str:
    return "1 logged value" if count == 1 else f"{count} logged values"


def _curves(folder: Path) -> list[str]:
    """Give the commands that show what receivers have left in the run folder."""
    found = {
        "tensorboard": f"tensorboard --logdir {folder / 'tensorboard'}",
        "mlflow/mlflow.db": f"mlflow ui --backend-store-uri sqlite:///{folder / 'mlflow' / 'mlflow.db'}",
        "wandb": f"wandb sync {folder / 'wandb' / 'offline-run-*'}",
    }
    return [command for name, command in found.items() if (folder / name).exists()]


def _result(result: Any) -> list[tuple[str, str]]:
    if result is None:
        return []
    if not isinstance(result, dict):
        return [("result", _short(result))]
    # A round count of the result's own says the same as the run's.
    return [(str(name), _short(value)) for name, value in result.items() if name != "rounds"]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
