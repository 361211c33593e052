"""What a program asks of the controller, and what it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One call of one program: its words, environment and folder, and who called."""

    program: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    uid: int
    pid: int = 0
    operator: bool = True


class Refused(Exception):
    """The program ends with these words on stderr and this exit code."""

    def __init__(self, words: str, code: int = 1) -> None:
        self.words, self.code = words, code
        super().__init__(words)


class Session(Protocol):
    """The program's end of the talk."""

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        """Print this and end with this code."""

    def tell(self, message: dict[str, Any]) -> None:
        """Say something before the end."""

    def listen(self, on_message: Callable[[dict[str, Any]], None], on_close: Callable[[], None]) -> None:
        """What to do with what the program says next, and when it is gone."""

    def close(self) -> None:
        """Hang up without a word, as a scheduler that died would."""
