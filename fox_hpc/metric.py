"""One number on a curve: what the tracking writers make, what crosses the wire, what the receivers write."""

from __future__ import annotations

import msgspec


class Point(msgspec.Struct, array_like=True, frozen=True):
    """One value of one curve at one site.

    Args:
        tag: the curve's name (`train/loss`).
        value: any float, NaN and infinities included.
        step: the place on the x axis, None if the caller gave none.
        wall_time: seconds since the epoch at which the value was logged.
    """

    tag: str
    value: float
    step: int | None
    wall_time: float
