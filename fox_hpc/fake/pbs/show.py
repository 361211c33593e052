"""Printing records: qstat's long form with its line breaks, dsv, and JSON as PBS writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fox_hpc.fake.pbs.options import VERSION
from fox_hpc.fake.pbs.variables import shown

WIDTH, TAB = 80, 8
OLD_VERSION = "20.0.1"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
AS_IT_IS = ("Job_Name",)


def flat(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`Resource_List.mem` and its like, with values as text."""
    for name, value in attributes.items():
        if name == "Variable_List" and isinstance(value, dict):
            yield name, ",".join(f"{key}={shown(text)}" for key, text in value.items())
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", str(part)) for key, part in value.items())
        else:
            yield name, str(value)


def long_form(title: str, attributes: Mapping[str, Any], wide: bool) -> str:
    """`Job Id: …` and a line for each attribute, broken at column 79 unless `wide`."""
    lines = [f"    {name} = {value}" if wide else _wrapped(name, value) for name, value in flat(attributes)]
    return "\n".join([title, *lines, "", ""])


def _wrapped(name: str, value: str) -> str:
    """Broken behind commas where a part fits a line of its own, else in the middle of a word."""
    text, column = f"    {name} = ", len(name) + 7
    for part in re.findall(r"[^,]*,|[^,]+$", value):
        if column + len(part) < WIDTH:
            text, column = text + part, column + len(part)
        elif TAB + len(part) < WIDTH:
            text, column = f"{text}\n\t{part}", TAB + len(part)
        else:
            for char in part:
                if column == WIDTH - 1:
                    text, column = text + "\n\t", TAB
                text, column = text + char, column + 1
    return text


def dsv(title: str, attributes: Mapping[str, Any], delimiter: str) -> str:
    return delimiter.join([title, *(f"{name}={value}" for name, value in flat(attributes))]) + "\n"


def document(
    now: float, server: str, kind: str, entries: Mapping[str, Mapping[str, Any]], broken: bool
) -> str:
    """The whole JSON answer; without the key `kind` if there is nothing to show."""
    head: dict[str, Any] = {"timestamp": int(now), "pbs_version": OLD_VERSION if broken else VERSION,
                            "pbs_server": server}  # fmt: skip
    if entries:
        head[kind] = {name: _values(entry) for name, entry in entries.items()}
    return _object(head, 0, broken) + "\n"


def _values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: shown(text, commas=False) for key, text in value.items()}
        if name == "Variable_List"
        else value
        for name, value in attributes.items()
    }


def _object(value: Mapping[str, Any], depth: int, broken: bool) -> str:
    inside = "\t" * (depth + 1)
    lines = [f"{inside}{json.dumps(name)}:\t{_value(name, part, depth + 1, broken)}"
             for name, part in value.items()]  # fmt: skip
    return "{\n" + ",\n".join(lines) + "\n" + "\t" * depth + "}"


def _value(name: str, value: Any, depth: int, broken: bool) -> str:
    if isinstance(value, dict):
        return _object(value, depth, broken)
    if isinstance(value, list):
        return "[" + ", ".join(json.dumps(part) for part in value) + "]"
    if not isinstance(value, str):
        return str(value)
    if name in AS_IT_IS:
        return json.dumps(value)
    if value in ("true", "false", "null"):
        return value
    if NUMBER.fullmatch(value):
        return value if broken else _plain_number(float(value))
    # Old versions copied the value as it stands: `\'` and `\,` are no JSON.
    return '"' + value.replace("\n", "\\n") + '"' if broken else json.dumps(value, ensure_ascii=False)


def _plain_number(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
