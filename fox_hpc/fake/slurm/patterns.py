"""File name patterns: %j, %A, %a, %x, %N, %u, %t …"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fox_hpc.fake.jobs import Job


def expand_pattern(pattern: str, values: Mapping[str, str]) -> str:
    """The file that a pattern means; `%%` is a percent sign, `%3t` pads, a backslash switches all off."""
    if "\\" in pattern:
        return pattern.replace("\\", "")

    def value(match: re.Match[str]) -> str:
        width, letter = match.groups()
        if letter == "%":
            return "%"
        text = values.get(letter)
        return match[0] if text is None else text.zfill(int(width or 0)) if text.isdigit() else text

    return re.sub(r"%(\d*)([a-zA-Z%])", value, pattern)


def job_values(job: Job) -> dict[str, str]:
    """What the letters mean in a batch script's own patterns."""
    array = job.array
    return {
        "j": str(job.id), "J": str(job.id), "x": job.name, "u": job.user, "N": (job.nodes or [""])[0],
        "A": str(array.job_id if array else job.id), "a": str(array.index) if array else "4294967294",
        "n": "0", "t": "0", "s": "4294967291",
    }  # fmt: skip
