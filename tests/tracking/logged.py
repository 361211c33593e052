"""What every receiver is given in its test: one of each kind of entry, as the look-alikes make them."""

from __future__ import annotations

from fox_hpc.metric import Entry, Fact, File, Histogram, Point, Text
from fox_hpc.tracking import pictures

#: Two pixels, a red and a blue one.
PIXELS = [[[255, 0, 0], [0, 0, 255]]]


def all_kinds() -> list[Entry]:
    return [
        Fact("label", "team", "blue", 1000.0),
        Fact("param", "lr", 0.1, 1000.0),
        Fact("param", "net", "mlp", 1000.0),
        *(Point("train/loss", 1 / (1 + step), step, 1000.0 + step) for step in range(5)),
        Point("train/acc", 0.5, 4, 1004.0),
        Text("note", "all *well*", 4, 1004.0),
        Histogram("weights", -1.0, 2.0, 3.0, 1.0, 5.0, [-2.0, 0.0, 2.0], [0.0, 1.0, 2.0], 4, 1004.0),
        pictures.image("digit", PIXELS, "HWC", 4, 1004.0),
        File("notes/end.txt", b"done", 1005.0),
        Fact("result", "best", 0.2, 1005.0),
    ]
