"""Joining: one site's part in the runs of a server elsewhere, from the first word to the end of the run."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..environment import process_environ, scrubbed
from ..errors import FoxError, LinkClosed, NotAllowed, RecipeError, WorkspaceError
from ..fake import FakeCluster
from ..site.door import Door
from ..site.launcher import make_launcher
from ..site.relay import FoxExecutor
from ..spec import load_spec, run_file
from ..wire.cell import relay_cell
from ..wire.handshake import Welcome
from ..wire.key_folder import Kit
from ..wire.zmq_link import ZmqIo
from .lines import Lines
from .signals import Interrupts

#: Between two looks whether a signal has come, while the server does not answer.
LOOK_S = 0.2
#: … and after so long the user is told that it does not.
SILENT_S = 10.0

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


class NotPrepared(FoxError):
    """The site's share could not be prepared; what was wrong has been told, `code` is the exit code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__("the recipe could not be prepared")


@dataclass
class Joining:
    """One site.

    Args:
        urls: where the server may be, best first.
        workspace: the folder that this site's run folders are made in, on a disk that its nodes see.
        scheduler: one of SCHEDULERS, or "local".
        away_s: how long the server may be away before this site's jobs are cancelled.
    """

    kit: Kit
    urls: Sequence[str]
    recipe: str
    workspace: Path
    lines: Lines
    stop: Interrupts
    scheduler: str = "auto"
    profile: str | None = None
    ports: tuple[int, int] | None = None
    away_s: float = 900.0
    _relay: FoxExecutor | None = field(default=None, init=False)

    def serve(self) -> int:
        """Take part until a run is over, or until a signal comes; give the exit code.

        Raises:
            WireError: the server refuses this site, in words for people.
            FoxError: the site's share cannot be prepared.
        """
        while True:
            io = ZmqIo()
            try:
                ended = self._one_run(io)
            finally:
                io.close()
            if ended == "over":
                self.lines.say("over", "the run is over", site=self.kit.site)
                return 0
            if self.stop.count:
                return self.stop.exit_code
            self.lines.say("again", f"{ended}: {self.kit.site} asks for a run again", site=self.kit.site)

    def _one_run(self, io: ZmqIo) -> str:
        door = self._dial(io)
        welcome = self._wait(door) if door is not None else None
        if door is None or welcome is None:
            return "asked"
        folder = self._prepared(welcome)
        if folder is None:
            return "asked"
        spec, environ = load_spec(folder), process_environ()
        fake = _fake(spec.scheduler, folder)
        try:
            environ |= fake.up().env if fake else {}
            relay = FoxExecutor(spec, make_launcher(spec, scrubbed(environ)), io, door)
            self._tell(relay, welcome)
            # A signal cancels the jobs; the relay leaves when they have ended.
            self.stop.on_signal = relay.stop
            if self.stop.count:
                relay.stop()
            relay.run()
            if relay.ended != "over":
                relay.leave()
            return relay.ended
        finally:
            self.stop.on_signal = None
            if fake:
                fake.down()

    def _dial(self, io: ZmqIo) -> Door | None:
        """Find the server among its addresses; a server that is not there yet is waited for."""
        kit, told = self.kit, ""
        while not self.stop.count:
            try:
                return Door(
                    io,
                    self.urls,
                    relay_cell(kit.site),
                    kit.keys,
                    kit.server_key,
                    [kit.site],
                    away_s=self.away_s,
                )
            except (LinkClosed, NotAllowed) as error:
                if str(error) != told:
                    told = str(error)
                    self.lines.say("waiting", told, site=kit.site)
        return None

    def _wait(self, door: Door) -> Welcome | None:
        began, told = time.monotonic(), False
        while not self.stop.count:
            welcome = door.wait(LOOK_S)
            if welcome is not None:
                if not _RUN.fullmatch(welcome.run):
                    raise NotAllowed(f"the server calls its run {welcome.run!r}, which is no name of a run")
                return welcome
            if not told and time.monotonic() > began + SILENT_S:
                told = True
                text = (
                    f"no welcome from {door.url} yet, this goes on trying: is the server up, is a firewall "
                    "between, is this the newest kit?"
                )
                self.lines.say("waiting", text, site=self.kit.site)
        return None

    def _prepared(self, welcome: Welcome) -> Path | None:
        """Give this site's folder of the run, maybe of an earlier process; None if a signal came."""
        folder = self.workspace.resolve() / f"{welcome.run}-at-{self.kit.site}"
        if run_file(folder).exists():
            return folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"the run folder {folder} cannot be made: {error.strerror}") from error
        wanted = {
            "recipe": str(Path(self.recipe).resolve()),
            "site": self.kit.site,
            "folder": str(folder),
            "welcome": welcome,
            "scheduler": self.scheduler,
            "profile": self.profile and str(Path(self.profile).resolve()),
            "ports": self.ports,
        }
        code = self._prepare(msgspec.json.encode(wanted))
        if self.stop.count:
            return None
        if code:
            raise NotPrepared(code if code > 0 else 1)
        return folder

    def _prepare(self, wanted: bytes) -> int:
        """Run `prepare`, which loads the recipe and so may take for ever; a signal ends it."""
        argv = [sys.executable, "-m", "fox_hpc.cli.prepare"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=sys.stderr.fileno()) as process:
            assert process.stdin is not None
            # It ends without a word where it cannot even start: then its exit code tells.
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(wanted)
            while process.poll() is None:
                if self.stop.count:
                    # Nothing is lost: a folder counts only once its run.json is there, which is written last.
                    process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_S)
        return process.returncode

    def _tell(self, relay: FoxExecutor, welcome: Welcome) -> None:
        """Say that this site is ready, once the server listens to it, and whenever it does again."""
        spec, site = relay.spec, self.kit.site
        where: Mapping[str, object] = {
            "site": site,
            "run": spec.run,
            "server": relay.door.url,
            "port": relay.port,
            "workspace": spec.folder,
        }
        events = iter([("ready", f"ready: {site} takes part in {spec.run} of {relay.door.url}")])

        def welcomed() -> None:
            again = ("back", f"{site} is in touch with {relay.door.url} again")
            event, text = next(events, again)
            self.lines.say(event, text, **where)

        relay.on_welcomed = welcomed


def _fake(scheduler: str, folder: Path) -> FakeCluster | None:
    if not scheduler.startswith("fake-"):
        return None
    dialect = scheduler.removeprefix("fake-")
    return FakeCluster(dialect, nodes=4, accounts=(), qos=(), folder=folder / "fake")


def urls_of(given: Sequence[str], kit: Kit) -> tuple[str, ...]:
    """Choose where the server is looked for; raises RecipeError if nobody said where."""
    urls = tuple(given) or kit.server_urls
    if not urls:
        raise RecipeError("nobody says where the server is: --server tcp://host:port is right")
    for url in urls:
        if not re.fullmatch(r"tcp://(\[[^\]]+\]|[^\[\]:/]+):\d{1,5}", url):
            raise RecipeError(
                f"{url!r} is no address of a server: tcp://host:8555 or tcp://[::1]:8555 is right"
            )
    return urls
