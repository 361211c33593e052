"""Node lists: `node[1-3,7]` to names, and names to the shortest list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def expand(text: str) -> list[str]:
    """Names in a node list, in its order; raises ValueError if brackets do not match."""
    return [name for part in _split(text) for name in _expand_part(part)]


def compress(names: Iterable[str]) -> str:
    """Shortest list of `names`, in order of first sight: node1, node2, x → `node[1-2],x`."""
    groups: dict[tuple[str, int], list[int]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)(\d+)", name)
        if match is None:
            groups.setdefault((name, -1), [])
            continue
        prefix, digits = match.groups()
        width = len(digits) if digits.startswith("0") else 0
        groups.setdefault((prefix, width), []).append(int(digits))
    return ",".join(_render(prefix, width, numbers) for (prefix, width), numbers in groups.items())


def ranges(numbers: Iterable[int], width: int = 0) -> str:
    """Numbers as ranges: 0, 1, 2, 5 → `0-2,5`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{a:0{width}d}" if a == b else f"{a:0{width}d}-{b:0{width}d}" for a, b in parts)


def repeats(values: Iterable[int]) -> str:
    """Neighbours that repeat are counted: 2, 2, 1 → `2(x2),1`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return ",".join(f"{value}(x{count})" if count > 1 else str(value) for value, count in runs)


def _split(text: str) -> Iterator[str]:
    """Commas outside brackets."""
    part, depth = "", 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            yield part
            part = ""
        else:
            part += char
    if depth:
        raise ValueError(f"brackets do not match: {text}")
    if part:
        yield part


def _expand_part(part: str) -> Iterator[str]:
    match = re.fullmatch(r"([^\[\]]*)\[([^\[\]]*)\](.*)", part)
    if match is None:
        yield part
        return
    prefix, inner, rest = match.groups()
    for piece in inner.split(","):
        low, _, high = piece.partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            raise ValueError(f"not a range: {piece}")
        for number in range(int(low), int(high or low) + 1):
            for tail in _expand_part(rest):
                yield f"{prefix}{number:0{len(low)}d}{tail}"


def _render(prefix: str, width: int, numbers: list[int]) -> str:
    if not numbers:
        return prefix
    if len(set(numbers)) == 1:
        return f"{prefix}{numbers[0]:0{width}d}"
    return f"{prefix}[{ranges(numbers, width)}]"
