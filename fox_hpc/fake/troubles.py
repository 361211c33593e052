"""Troubles that can be switched on while a cluster is up: slow, failing or cut answers, lost replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Config
from fox_hpc.fake.manners import Manners
from fox_hpc.fake.request import Refused, Request, Session


class Troubles:
    """Stands between the programs and the dialect, and makes of Config's troubles what a program sees."""

    def __init__(self, engine: Engine, manners: Manners) -> None:
        self._engine, self._manners = engine, manners

    def dispatch(self, request: Request, session: Session, act: Callable[[Request, Session], None]) -> None:
        config, manners = self._engine.config, self._manners
        if request.program in manners.submits and config.lost_submit_replies:
            self._use("lost_submit_replies")
            act(request, _Deaf(session, manners))
        elif request.program in manners.queries:
            self._query(request, session, act)
        else:
            act(request, session)

    def _query(self, request: Request, session: Session, act: Callable[[Request, Session], None]) -> None:
        config = self._engine.config
        if config.failing_queries:
            self._use("failing_queries")
            failed = Refused(self._manners.query_failed, self._manners.failed_code)
            self._after(config.query_delay_s, lambda: _refuse(session, failed))
            return
        if config.cut_queries:
            self._use("cut_queries")
            session = _Cut(session)
        self._after(config.query_delay_s, lambda: act(request, session))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        if delay_s:
            self._engine.loop.later(delay_s, action)
        else:
            action()

    def _use(self, name: str) -> None:
        """One of the troubles that are left has happened; below zero there is no end of them."""
        left = getattr(self._engine.config, name)
        if left > 0:
            self._engine.config = replace(self._engine.config, **{name: left - 1})


def operate(engine: Engine, words: list[str]) -> str:
    """`set NAME VALUE`, `fail NODE`, `mend NODE`: what no scheduler's program can ask for."""
    what, name, *rest = words
    if what == "set":
        engine.config = Config.from_mapping(asdict(engine.config) | {name: json.loads(rest[0])})
    elif what == "fail":
        engine.fail_node(engine.nodes[name], "Not responding")
    elif what == "mend":
        engine.nodes[name].down = engine.nodes[name].drained = False
        engine.nodes[name].reason = "none"
    engine.reschedule()
    return ""


def _refuse(session: Session, refusal: Refused) -> None:
    session.reply(err=refusal.words + "\n", code=refusal.code)


class _Passing:
    """A session that hands everything on."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        self._session.reply(out, err, code)

    def tell(self, message: dict[str, Any]) -> None:
        self._session.tell(message)

    def listen(self, on_message: Callable[[dict[str, Any]], None], on_close: Callable[[], None]) -> None:
        self._session.listen(on_message, on_close)


class _Cut(_Passing):
    """Half of what was to be printed arrives."""

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        self._session.reply(out[: len(out) // 2], err, code)


class _Deaf(_Passing):
    """The job is taken, and its submitter never learns of it; a refusal is heard."""

    def __init__(self, session: Session, manners: Manners) -> None:
        super().__init__(session)
        self._manners = manners

    def tell(self, message: dict[str, Any]) -> None:
        if "out" in message:
            self.reply()
        else:
            super().tell(message)

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        if code and not out:
            self._session.reply(out, err, code)
        else:
            self._session.reply(err=self._manners.reply_lost + "\n", code=self._manners.failed_code)
