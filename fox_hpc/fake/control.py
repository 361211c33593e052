"""The program that sets troubles, and the session whose answer gets lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fox_hpc.fake import jobs as states
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.trouble import PROGRAM, Trouble, Troubles

NODES = ("fail_node", "restore_node")
TIME = "time_left_s"


def set_trouble(engine: Engine, request: Request, session: Session) -> None:
    """The program: `name=value` words, values as in JSON; also `fail_node=NAME`, `restore_node=NAME` and
    `time_left_s=NUMBER`, by which all that runs reaches its time limit so many seconds from now.
    """
    known = [each.name for each in fields(Troubles)]
    values: dict[str, Any] = {}
    for word in request.argv:
        name, _, text = word.partition("=")
        if name in NODES:
            _node(engine, name, text)
        elif name == TIME:
            _shorten(engine, float(_value(word, text)))
        elif name in known:
            values[name] = _value(word, text)
        else:
            raise Refused(f"{PROGRAM}: no trouble {name}; there are {', '.join([*known, *NODES, TIME])}")
    engine.trouble.set(values, engine.now())
    engine.reschedule()
    session.reply()


def _value(word: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Refused(f"{PROGRAM}: {word} is not NAME=NUMBER, NAME=true or NAME=false") from None


def _node(engine: Engine, what: str, name: str) -> None:
    node = engine.nodes.get(name)
    if node is None:
        raise Refused(f"{PROGRAM}: no node {name}; there are {', '.join(engine.nodes)}")
    if what == "fail_node":
        engine.fail_node(node, "Not responding")
    else:
        node.down, node.reason = False, "none"


def _shorten(engine: Engine, left_s: float) -> None:
    now, scale = engine.now(), engine.config.time_scale
    for job in list(engine.jobs.values()):
        if job.state == states.RUNNING:
            engine.set_limit(job, (now - job.started + left_s) / scale)


class AnswerLost:
    """A session that hears that its job was taken, and then nothing: the connection is cut instead."""

    def __init__(self, session: Session, trouble: Trouble) -> None:
        self._session, self._trouble = session, trouble

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        if code:
            self._session.reply(out, err, code)
        else:
            self._cut()

    def tell(self, message: dict[str, Any]) -> None:
        if "need" in message:
            self._session.tell(message)
        else:
            self._cut()

    def listen(self, on_message: Callable[[dict[str, Any]], None], on_close: Callable[[], None]) -> None:
        self._session.listen(on_message, on_close)

    def close(self) -> None:
        self._session.close()

    def _cut(self) -> None:
        self._trouble.lost_one()
        self._session.close()
