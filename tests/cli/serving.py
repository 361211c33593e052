"""Commands of `fox-hpc serve` and `join`, and the place where they run."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fox_hpc.wire import key_folder

Fox = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]

#: Waits at every site for a file beside the recipe, named like the round.
STEPWISE = """
import time
from pathlib import Path
from fox_hpc import FoxRecipe, fox

HERE = Path(__file__).parent

class Server:
    @fox.algo
    def run(self):
        told = []
        for number in fox.rounds(2):
            answers = fox.clients(min_success=1).step(number)
            told.append([dict(answers.items()), {site: str(e) for site, e in answers.failures.items()}])
        return told

    @fox.collab
    def greet(self):
        return fox.caller

class Client:
    @fox.collab
    def step(self, number):
        (HERE / f"{fox.site_name}-in-{number}").touch()
        while not (HERE / f"go-{number}").exists() and not fox.is_aborted:
            time.sleep(0.01)
        return fox.server.greet()

recipe = FoxRecipe("stepwise", 1, Server(), Client())
"""


class Process:
    """A command whose `--json` lines are read as they come."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen, self.lines = popen, []
        self._news: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.errors: list[str] = []
        for target in (self._read, self._drain):
            threading.Thread(target=target, daemon=True).start()

    lines: list[dict[str, Any]]

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._news.put(json.loads(line))
        self._news.put(None)

    def _drain(self) -> None:
        assert self.popen.stderr is not None
        self.errors.extend(self.popen.stderr)

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event with these fields that has not been waited for."""
        deadline = time.monotonic() + 40
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no {event} {fields} came; {self.lines[-8:]} {self.errors}"
            self.lines.append(line)
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                return line

    def rest(self) -> list[Any]:
        """Give the lines that nobody has waited for."""
        lines: list[Any] = []
        while not self._news.empty():
            lines.append(self._news.get())
        return [*lines, *self.errors]

    def logged(self, text: str) -> int:
        """Count the log lines that have a text in them, of those that were read."""
        return sum(text in line["text"] for line in self.lines if line["event"] == "log")

    def end(self) -> int:
        """Wait for its end and give its exit code."""
        code = self.popen.wait(60)
        while (line := self._news.get(timeout=10)) is not None:
            self.lines.append(line)
        return code


class Place:
    """Where a server and its sites run, each of which has a workspace of its own."""

    def __init__(self, folder: Path, start: Start) -> None:
        self.folder, self._start = folder, start
        self.started: list[Process] = []
        self.recipe = folder / "stepwise.py"
        self.recipe.write_text(STEPWISE)
        self.keys = folder / "keys"
        key_folder.make_server(self.keys)
        for site in ("site-a", "site-b"):
            key_folder.save_kit(folder / f"{site}.kit", key_folder.add_site(self.keys, site))

    def serve(self, bind: str = "tcp://127.0.0.1:0", *words: str) -> Process:
        return self.run("serve", self.recipe, "--bind", bind, "--keys", self.keys, *words)

    def join(
        self, site: str, url: str, *words: str | Path, scheduler: str = "local", env: Any = None
    ) -> Process:
        where = ("--workspace", f"at-{site}", "--scheduler", scheduler)
        what = ("--kit", f"{site}.kit", "--recipe", self.recipe, "--server", url)
        return self.run("join", *what, *where, *words, env=env)

    def run(self, *words: str | Path, env: Any = None) -> Process:
        self.started.append(Process(self._start(*words, "--json", env=env)))
        return self.started[-1]

    def heard(self) -> list[Any]:
        """Give what the commands have said that nobody has waited for, when something did not come."""
        return [said for one in self.started for said in (one.popen.args, one.popen.poll(), *one.rest())]

    def go(self, *rounds: int) -> None:
        """Let the sites answer from now on."""
        for number in rounds or (0, 1):
            (self.folder / f"go-{number}").touch()

    def wait_for_call(self, site: str, number: int = 0) -> None:
        deadline = time.monotonic() + 90
        while not (self.folder / f"{site}-in-{number}").exists():
            assert time.monotonic() < deadline, "\n".join([f"{site} was not called", *map(str, self.heard())])
            time.sleep(0.02)
