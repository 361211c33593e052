"""qstat's tables: the plain one, the wide one, and the ones of -a, -s, -n and -u."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLAIN = """\
Job id            Name             User              Time Use S Queue
----------------  ---------------- ----------------  -------- - -----
"""
WIDE = """\
Job id                         Name            User             Time Use S Queue
-----------------------------  --------------- ---------------  -------- - ---------------
"""
DETAIL = """\
                                                            Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
"""
DETAIL_WIDE = """\
                                                                                                   Req'd  Req'd   Elap
Job ID                         Username        Queue           Jobname         SessID   NDS  TSK   Memory Time  S Time
------------------------------ --------------- --------------- --------------- -------- ---- ----- ------ ----- - -----
"""  # noqa: E501
NONE = "-- "
COMMENT = 73


@dataclass(frozen=True)
class Row:
    """One job or array as the tables show it."""

    id: str
    name: str
    user: str
    queue: str
    state: str
    used: str = "0"
    session: str = NONE
    nodes: str = "1"
    cpus: str = "1"
    memory: str = NONE
    limit: str = NONE
    elapsed: str = NONE
    exec_host: str = ""
    comment: str = ""


def cut(text: str, width: int) -> str:
    """A value too long for its column ends in a star."""
    return text if len(text) <= width else text[: width - 1] + "*"


def plain(rows: Sequence[Row], wide: bool) -> str:
    if not rows:
        return ""
    widths = (30, 15, 15, 15) if wide else (17, 16, 16, 16)
    lines = [_plain_line(row, widths) for row in rows]
    return (WIDE if wide else PLAIN) + "".join(lines)


def _plain_line(row: Row, widths: tuple[int, int, int, int]) -> str:
    number, name, user, queue = widths
    shown_id, shown_name, shown_user = cut(row.id, number - 1), cut(row.name, name), cut(row.user, user)
    return (
        f"{shown_id:<{number}} {shown_name:<{name}} {shown_user:<{user}}  {row.used:>8} {row.state} "
        f"{cut(row.queue, queue):<{queue}}\n"
    )


def detail(rows: Sequence[Row], server: str, wide: bool, hosts: str, comments: bool) -> str:
    """The table of -a; `hosts` is empty, "below" (-n) or "beside" (-n1)."""
    if not rows:
        return ""
    widths = (30, 15, 15, 15, 8, 4, 5) if wide else (15, 8, 8, 10, 6, 3, 3)
    text = f"\n{server}: \n" + (DETAIL_WIDE if wide else DETAIL)
    for row in rows:
        text += _detail_line(row, widths)
        text += f" {row.exec_host or '--'}\n" if hosts == "beside" else "\n"
        if hosts == "below":
            text += f"   {row.exec_host or ' -- '}\n"
        if comments:
            text += f"   {_short(row.comment) or ' -- '}\n"
    return text


def _detail_line(row: Row, widths: tuple[int, ...]) -> str:
    columns = zip((row.id, row.user, row.queue, row.name), widths, strict=False)
    left = " ".join(f"{cut(text, width):<{width}}" for text, width in columns)
    session, nodes, cpus = widths[4:]
    return (
        f"{left} {row.session:>{session}} {row.nodes:>{nodes}} {row.cpus:>{cpus}} {row.memory:>6} "
        f"{row.limit:>5} {row.state} {row.elapsed:>5}"
    )


def _short(comment: str) -> str:
    return comment if len(comment) <= COMMENT else comment[: COMMENT - 3] + "..."
