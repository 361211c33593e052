"""What the scenarios' recipe has beside its two main objects: sub-objects and filters."""

from __future__ import annotations

from typing import Any

from fox_hpc import Filters, fox


class Evaluator:
    """A sub-object of each site."""

    def __init__(self) -> None:
        self.begun = False

    @fox.init
    def begin(self) -> None:
        self.begun = True

    @fox.collab
    def score(self, value: Any = None) -> Any:
        return fox.site_name, fox.caller, self.begun, value

    @fox.collab
    def secret(self, value: Any) -> Any:
        return [value, fox.site_name]

    @fox.collab
    def refused(self, value: Any) -> Any:
        return value

    @fox.collab
    def log(self, line: str) -> Any:
        return fox.server.log.put(line)

    @fox.collab
    def secrets(self, values: Any) -> Any:
        for value in values:
            yield value * 2


class Log:
    """A sub-object of the server."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @fox.collab
    def put(self, line: str) -> Any:
        self.lines.append(line)
        return f"{fox.caller} wrote {line}"


def enters_site(func: str, value: Any) -> Any:
    if func == "eval.secrets":
        return value + 1
    return ["in", fox.site_name, fox.caller, value] if func == "eval.secret" else value


def leaves_site(func: str, value: Any) -> Any:
    if func == "eval.refused":
        raise PermissionError(f"{value} stays here")
    if func == "eval.secrets":
        return -value
    return ["out", fox.site_name, value] if func in ("eval.secret", "log.put") else value


def enters_server(func: str, value: Any) -> Any:
    return ["back", value] if func == "eval.secret" else value


def leaves_server(func: str, value: Any) -> Any:
    if func == "eval.secrets":
        return value * 10
    if func == "eval.secret" and value == "not this":
        raise ValueError("never sent")
    return ["sent", value] if func == "eval.secret" else value


def filters_of_the_sites() -> Filters:
    return Filters([enters_site], [leaves_site])


def filters_of_the_server() -> Filters:
    return Filters([], [leaves_server])
