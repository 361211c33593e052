"""A job's Variable_List: what -v and -V hand on, and the PBS_O_ variables of the submitter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fox_hpc.fake.line import SPOOL, USER
from fox_hpc.fake.processes import TAGS
from fox_hpc.fake.request import Refused, Request

OWN = (SPOOL, USER)
"""Variables that lead to the fake cluster: always handed on, as a site's configuration is always found."""


def variable_list(
    request: Request, lists: Iterable[str], everything: bool, queue: str, host: str
) -> dict[str, str]:
    """In the order that the real one keeps."""
    env = request.env
    home = env.get("HOME", "/")
    result = {
        "PBS_O_HOME": home,
        "PBS_O_LANG": env.get("LANG", ""),
        "PBS_O_LOGNAME": request.user,
        "PBS_O_PATH": env.get("PATH", ""),
        "PBS_O_MAIL": env.get("MAIL", ""),
        "PBS_O_SHELL": env.get("SHELL", "/bin/bash"),
        "PBS_O_INTERACTIVE_AUTH_METHOD": "resvport",
    }
    result = {name: value for name, value in result.items() if value}
    result |= {
        "PBS_O_INTERACTIVE_ENCRYPT_METHOD": "",
        "PBS_O_WORKDIR": request.cwd,
        "PBS_O_SYSTEM": "Linux",
    }
    if everything:
        result |= {name: env[name] for name in env if name not in (*OWN, *TAGS)}
    for text in lists:
        result |= _named(text, env)
    return result | {"PBS_O_QUEUE": queue, "PBS_O_HOST": host}


def _named(text: str, env: Mapping[str, str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for part in split_list(text):
        name, equals, value = part.partition("=")
        if equals:
            result[name] = value
        elif name in env:
            result[name] = env[name]
        elif name:
            raise Refused("qsub: cannot send environment with the job", 1)
    return result


def split_list(text: str) -> list[str]:
    """At commas that are neither escaped nor quoted; quotes and escapes are used up."""
    parts, quote, escaped = [""], "", False
    for char in text:
        if escaped:
            parts[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == "," and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def shown(value: str, commas: bool = True) -> str:
    """A value as qstat prints it: with backslashes before what the list's reader would use up."""
    for char in '\\",' if commas else '\\"':
        value = value.replace(char, "\\" + char)
    return value
