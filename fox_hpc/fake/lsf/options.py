"""Options of LSF's programs: one dash, one or more letters, a value behind it or glued to it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fox_hpc.fake.request import Refused

Options = dict[str, list[str]]
"""Each option's values, in order; a flag's value is `""`."""


@dataclass(frozen=True)
class Table:
    """Options of one program: names of flags and of those with a value, and the usage lines."""

    program: str
    flags: frozenset[str]
    valued: frozenset[str]
    usage: str = ""


def table(program: str, flags: str, valued: str, usage: str = "") -> Table:
    return Table(program, frozenset(flags.split()), frozenset(valued.split()), usage)


BSUB = table(
    "bsub",
    "h V H K r rn x I Ip Is IS XF B N Ne Zs ptl ti tty pack hl ul notify",
    "q J n R W P G o oo e eo cwd env Q w wa wt M m app U u gpu i is L E Ep b t c C D F S T f k sp sla g a Jd"
    " nnodes alloc_flags cn_cu cn_mem core_isolation data eptl jsm k network outdir p s step_cgroup v Lp ext"
    " freq mig rusage ar nn stage jobaff",
    "Usage: bsub [options] command [arguments]\n       bsub [options] < script",
)
BJOBS = table(
    "bjobs",
    "h V w l W WL WP WF WT WS X a d p r s x A UF sum noheader json aff hms cname pe pi psum",
    "u q J P m G g o N app sla Lp script Jd",
    "Usage: bjobs [-h] [-V] [-w |-l] [-a] [-d] [-p] [-s] [-r] [-A] [-noheader]\n"
    "             [-m host_name] [-q queue_name] [-u user_name | -u all]\n"
    "             [-P project_name] [-o \"field_name[:width] ... [delimiter='c']\" [-json]]\n"
    '             [-J name_spec] [jobId | "jobId[idxList]" ...]',
)
BKILL = table(
    "bkill", "h V l r b", "s m q u J g app sla stat d",
    "Usage: bkill [-h] [-V] [-l] [-m host_name] [-q queue_name]\n"
    "               [-u user_name | -u all] [0] [-r | -s sigval] [-J job_name] \n"
    '               [jobId | "jobId[index_list]"]...',
)  # fmt: skip
BSTOP = table(
    "bstop",
    "h V a d",
    "m q u J g app sla",
    "Usage: bstop [-h] [-V] [-q queue_name] [-u user_name] [jobId ...]",
)
BRESUME = table(
    "bresume",
    "h V",
    "m q u J g app sla",
    "Usage: bresume [-h] [-V] [-q queue_name] [-u user_name] [jobId ...]",
)
BREQUEUE = table(
    "brequeue",
    "h V d e r a H p",
    "J u",
    "Usage: brequeue [-h] [-V] [-d] [-e] [-r] [-a] [-H] [-J job_name] jobId ...",
)
BHIST = table(
    "bhist",
    "h V a b d e l p r s w W",
    "n u q J P C D S T t f m N",
    "Usage: bhist [-h] [-V] [-a] [-l] [-w] [-n num_logs] [jobId ...]",
)
BPEEK = table("bpeek", "h V f", "q m J", "Usage: bpeek [-h] [-V] [-f] [jobId]")
HOSTS = table(
    "bhosts",
    "h V w l a e s X x noheader json gpu aff alloc cname",
    "R o",
    "Usage: bhosts [-h] [-V] [-w | -l] [host_name ...]",
)
LSHOSTS = table(
    "lshosts",
    "h V w l gpu s T cname noheader json",
    "R o",
    "Usage: lshosts [-h] [-V] [-w | -l] [host_name ...]",
)
QUEUES = table(
    "bqueues", "h V w l r alloc noheader json", "m u o", "Usage: bqueues [-h] [-V] [-w | -l] [queue_name ...]"
)
BLAUNCH = table(
    "blaunch",
    "n use-login-shell no-shell h V",
    "z u",
    "Usage: blaunch [-n] [-u host_file | -z host_name ... | host_name] command [argument ...]",
)


def parse(known: Table, argv: Iterable[str], mixed: bool = False) -> tuple[Options, list[str]]:
    """Options, and the other words; reading stops at the first of those unless `mixed`.

    Raises Refused (255, usage) for what the program does not know.
    """
    found: Options = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("-") and len(word) > 1:
            _option(known, word[1:], words, found)
        elif mixed:
            rest.append(word)
        else:
            rest += [word, *words]
    return found, rest


def directives(script: str) -> list[str]:
    """Words of all `#BSUB` lines; what follows a blank and `#` is a comment."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith("#BSUB") and line[5:6] in ("", " ", "\t"):
            words += _line_words(line[5:])
    return words


def last(options: Options, *names: str, default: str = "") -> str:
    """Value of the one of these options that is given, the last time it is."""
    return next((options[name][-1] for name in names if name in options), default)


def _line_words(text: str) -> Iterator[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars="")
    reader.whitespace_split, reader.commenters = True, ""
    try:
        for word in reader:
            if word.startswith("#"):
                return
            yield word
    except ValueError:
        raise Refused("Unmatched quote in an embedded option. Job not submitted.", 255) from None


def _option(known: Table, name: str, words: Iterator[str], found: Options) -> None:
    value = ""
    if name in known.valued:
        taken = next(words, None)
        if taken is None:
            raise _bad(known, f"option requires an argument -- {name}")
        value = taken
    elif name not in known.flags:
        # Glued: `-n4`, `-qnormal`. Only one-letter options, or -ooutput would be -oo.
        if name[0] not in known.valued:
            raise _bad(known, f"illegal option -- {name[0]}")
        name, value = name[0], name[1:]
    found.setdefault(name, []).append(value)


def _bad(known: Table, complaint: str) -> Refused:
    return Refused(f"{known.program}: {complaint}\n{known.usage}", 255)
