# ruff: noqa: W291 - the real usage has a blank at the end of a line
"""The options of PBS's programs, read as getopt does: short letters only, values glued or apart."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from fox_hpc.fake.request import Refused

VERSION = "23.06.06"
QSUB_LETTERS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
USAGE = {
    "qsub": """\
usage: qsub [-a date_time] [-A account_string] [-c interval]
	[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
	[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
	[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
	[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
	[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version""",
    "qstat": """\
usage: 
qstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] [ job_identifier... | destination... ]
qstat [-a|-i|-r|-H|-T] [-J] [-t] [-u user] [-n] [-s] [-G|-M] [-1] [-w]
	[ job_identifier... | destination... ]
qstat -Q [-f] [-F format] [-D delim] [ destination... ]
qstat -q [-G|-M] [ destination... ]
qstat -B [-f] [-F format] [-D delim] [ server_name... ]
qstat --version""",
    "qdel": """\
usage:
	qdel [-W force|suppress_email=X] [-x] job_identifier...
	qdel --version""",
}  # fmt: skip

Options = list[tuple[str, str]]
"""Letters with their values, in the order given; a flag's value is empty."""


def usage(program: str, complaint: str = "") -> Refused:
    """What a program says of words it does not take."""
    text = USAGE.get(program, f"usage:\n\t{program} [options] job_identifier...\n\t{program} --version")
    return Refused(f"{program}: {complaint}\n{text}" if complaint else text, 2)


def getopt(program: str, argv: Sequence[str], letters: str) -> tuple[Options, list[str]]:
    """Options, and the words from the first one that is none; raises Refused with the usage."""
    found: Options = []
    unknown: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return _end(program, found, unknown, [*words])
        if not word.startswith("-") or word == "-":
            return _end(program, found, unknown, [word, *words])
        _letters(program, word, words, letters, found, unknown)
    return _end(program, found, unknown, [])


def _letters(
    program: str, word: str, words: Iterator[str], letters: str, found: Options, unknown: list[str]
) -> None:
    position = 1
    while position < len(word):
        letter = word[position]
        position += 1
        place = letters.find(letter)
        if letter == ":" or place < 0:
            unknown.append(letter)
        elif letters[place + 1 : place + 2] != ":":
            found.append((letter, ""))
        else:
            value = word[position:] or next(words, "")
            if not value:
                raise usage(program, f"option requires an argument -- '{letter}'")
            found.append((letter, value))
            return


def _end(program: str, found: Options, unknown: list[str], rest: list[str]) -> tuple[Options, list[str]]:
    if unknown:
        # As the real one's reader: it stops to complain after the second wrong letter.
        raise usage(program, f"\n{program}: ".join(f"invalid option -- '{letter}'" for letter in unknown[:2]))
    return found, rest


def directives(script: str, mark: str = "#PBS") -> list[str]:
    """Words of the marked lines before the first command; a quoted word keeps its blanks."""
    words: list[str] = []
    for line in script.splitlines():
        if mark and line.startswith(mark):
            words += _words(line[len(mark) :])
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return words


def _words(text: str) -> Iterator[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars="")
    reader.whitespace_split, reader.commenters = True, ""
    for word in reader:
        if word.startswith("#"):
            return
        yield word


def last(options: Options, letter: str, default: str = "") -> str:
    """Value of the last time an option was given."""
    return next((value for name, value in reversed(options) if name == letter), default)


def given(options: Options, letter: str) -> bool:
    return any(name == letter for name, _ in options)


def every(options: Options, letter: str) -> list[str]:
    return [value for name, value in options if name == letter]
