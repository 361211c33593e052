"""Docs that cannot rot: what they say is held against the code, and what they show is run."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import click
import pytest

import fox_hpc
from fox_hpc.cli.app import EXIT_CODES, group
from fox_hpc.fake.cluster import PROGRAMS
from fox_hpc.hpc import lsf_answers, pbs_answers, slurm
from fox_hpc.hpc.script import LAUNCHERS
from fox_hpc.wire import channel

REPO = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for page in REPO.rglob("*.md")
    if not any(part.startswith(".") or part == "fox_runs" for part in page.relative_to(REPO).parts)
)
DOCS = REPO / "docs"
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
PARTS = ["The pull", "The choice", "What it does to the house", "What we give up", "How to undo it"]
#: Programs that the docs may show beside our own command and our scripts.
OTHERS = {"sinfo"}
MOST_LINES = {"README.md": 120, "docs/adr": 40, "examples": 40}
#: Commands are run if they contain one of these; whatever else they need stands in NEEDS.
CHEAP = (
    "keys server keys",
    "submit recipe.py --dry-run",
    "fake up --",
    "01_hello_collab/recipe.py --env sim",
)
NEEDS = {"01_hello_collab": "sklearn"}


def name(page: Path) -> str:
    return page.relative_to(REPO).as_posix()


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", outside_fences(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line that a reader may type: those behind `$ `, `fox-hpc …` within a sentence, and in units."""
    for page in PAGES:
        text = page.read_text()
        shown = [line.removeprefix("$ ") for block in fences(text, "console") for line in block.splitlines()]
        said = re.findall(r"`(fox-hpc [^`]*)`", outside_fences(text))
        started = [
            line
            for block in fences(text, "ini")
            for line in re.findall(r"^ExecStart=\S*/(fox-hpc .*)$", block, flags=re.MULTILINE)
        ]
        for line in [*shown, *said, *started]:
            yield name(page), shlex.split(line.replace("…", ""), comments=True)


TYPED = list(commands())
OUR_LINES = sorted({tuple(words) for _, words in TYPED if words and words[0] == "fox-hpc"})


def nothing(found: Iterator[str]) -> None:
    lines = list(found)

    assert not lines, "\n" + "\n".join(lines)


def broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_fences(page.read_text())):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"{name(page)}: {target} is not there"
        elif anchor and anchor not in anchors(file):
            yield f"{name(page)}: {target} has no such title"


def test_every_relative_link_leads_somewhere() -> None:
    nothing(line for page in PAGES for line in broken_links(page))


def test_every_command_line_shown_begins_with_a_known_program() -> None:
    def known(program: str) -> bool:
        return program in {"fox-hpc", *OTHERS} or (
            program.startswith("scripts/") and (REPO / program).is_file()
        )

    nothing(f"{page}: {shlex.join(words)}" for page, words in TYPED if not words or not known(words[0]))


@pytest.mark.parametrize("words", OUR_LINES, ids=" ".join)
def test_our_commands_take_the_words_that_are_shown(words: tuple[str, ...]) -> None:
    context, args = click.Context(group, info_name="fox-hpc"), list(words[1:])
    while args and isinstance(context.command, click.Group):
        command = context.command.get_command(context, args[0])
        assert command is not None, f"there is no command {args[0]}"
        context = click.Context(command, parent=context, info_name=args.pop(0))
    # Within a sentence a command may stand alone, as a name.
    if args:
        context.command.parse_args(context, args)


@pytest.mark.parametrize(
    "words", [w for w in OUR_LINES if any(c in " ".join(w) for c in CHEAP)], ids=" ".join
)
def test_commands_that_are_cheap_do_what_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    for example, package in NEEDS.items():
        if example in " ".join(words):
            pytest.importorskip(package)
    (tmp_path / "recipe.py").write_text(readme_recipe())
    (tmp_path / "examples").symlink_to(REPO / "examples")
    done = subprocess.run(
        [sys.executable, "-m", "fox_hpc", *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def readme_recipe() -> str:
    return fences((REPO / "README.md").read_text(), "python")[0]


def test_the_readmes_recipe_runs_and_finds_the_line(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(readme_recipe())
    done = subprocess.run(
        [sys.executable, "-m", "fox_hpc", "submit", "recipe.py", "--env", "sim", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["state"] == "DONE"
    assert outcome["result"] == pytest.approx([3.0, -1.0], abs=0.05)
    assert list(outcome["sites"]) == ["site-1", "site-2"]


def test_all_python_that_is_shown_can_be_read() -> None:
    for page in PAGES:
        for block in fences(page.read_text(), "python"):
            ast.parse(block, name(page))


def first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))


def test_the_page_of_public_names_lists_each_of_them_and_no_other() -> None:
    assert first_cells((DOCS / "api.md").read_text()) == set(fox_hpc.__all__)


def test_every_variable_of_ours_is_in_the_docs() -> None:
    written = re.findall(r"\bFOX(?:_[A-Z]+)+\b", (REPO / "fox_hpc" / "environment.py").read_text())
    docs = "\n".join(page.read_text() for page in DOCS.glob("*.md"))

    assert {each for each in written if f"`{each}`" not in docs} == set()


@pytest.mark.parametrize(
    ("scheduler", "states"),
    [
        ("slurm", slurm.STATES),
        ("pbs", {word: state for word, state in pbs_answers.STATES.items() if state is not None}),
        ("lsf", lsf_answers.STATES | lsf_answers.REASONS),
    ],
)
def test_a_schedulers_states_are_those_of_its_dialect(scheduler: str, states: dict[str, str]) -> None:
    text = (DOCS / f"{scheduler}.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+)` \| ([A-Z_ ]+)(?:, [^|]*)?\|$", text, flags=re.MULTILINE)

    assert {word: ours for ours, words in rows for word in words.split()} == states


def test_pbs_exit_codes_are_those_of_the_dialect() -> None:
    text = (DOCS / "pbs.md").read_text()
    rows = re.findall(r"^\| (-\d+) \| ([A-Z]+) \| (.+) \|$", text, flags=re.MULTILINE)

    assert {int(code): (state, words) for code, state, words in rows} == pbs_answers.PBS_CODES


@pytest.mark.parametrize(("scheduler", "title"), [("pbs", "PBS"), ("lsf", "LSF")])
def test_the_launchers_of_a_scheduler_are_on_its_page(scheduler: str, title: str) -> None:
    text = (DOCS / f"{scheduler}.md").read_text()

    assert [name for name in LAUNCHERS[title] if f"`{name}`" not in text] == []


@pytest.mark.parametrize("scheduler", ["slurm", "pbs", "lsf"])
def test_the_fakes_programs_are_on_its_page(scheduler: str) -> None:
    text = (DOCS / f"{scheduler}.md").read_text()
    shown = {word for line in re.findall(r"`([a-z_ ]+)`", text) for word in line.split()}

    assert set(PROGRAMS[scheduler]) - shown == set()


def floors() -> dict[str, int]:
    """Read FLOORS out of the test that enforces them."""
    for node in ast.parse((REPO / "tests" / "test_house.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            found: dict[str, int] = ast.literal_eval(node.value)
            return found
    raise LookupError("tests/test_house.py has no FLOORS")


def test_the_floors_are_those_of_the_house() -> None:
    rows = re.findall(
        r"^\| (\d) \| ((?:`\w+` ?)+)\|", (DOCS / "architecture.md").read_text(), flags=re.MULTILINE
    )
    told = {wing: int(floor) for floor, wings in rows for wing in re.findall(r"\w+", wings)}

    assert told == {wing: floor for wing, floor in floors().items() if not wing.startswith("__")}


def test_kinds_of_message_and_lanes_are_named() -> None:
    text = (DOCS / "architecture.md").read_text()

    assert [each for each in (*channel.KINDS, *channel.CHANNELS) if f"`{each}`" not in text] == []


def test_the_commands_and_their_exit_codes_are_on_their_page() -> None:
    text = (DOCS / "cli.md").read_text()
    lines = [line.strip() for line in EXIT_CODES.splitlines() if line[:3].strip() == "" and line.strip()]

    assert [line for line in lines if line not in text] == []


def test_fixed_numbers_are_those_of_the_code() -> None:
    rows = re.findall(
        r"\| ([\d.]+)(?: m?s)? \| `(fox_hpc[a-z_.]+)\.([A-Z_]+(?:\.\w+)?)` \|",
        (DOCS / "operations.md").read_text(),
    )
    told = {f"{module}.{constant}": float(value) for value, module, constant in rows}
    found = {
        f"{module}.{constant}": attrgetter(constant)(importlib.import_module(module))
        for _, module, constant in rows
    }

    assert len(rows) > 5
    assert told == found


def missing_code(page: Path) -> Iterator[str]:
    """Files named in backticks, with `:name` or `:Class.name` behind them if they are so named."""
    text = outside_fences(page.read_text())
    for path, what in re.findall(r"`([\w./-]+\.(?:py|sh))(?::([\w.]+))?`", text):
        places = [top / path for top in (REPO, REPO / "fox_hpc", page.parent)]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            # Files of a run folder, and the reader's own.
            if path not in {"recipe.py", "submission.sh", "node.sh"}:
                yield f"{name(page)}: there is no {path}"
        elif what and not defines(file, what.split(".")):
            yield f"{name(page)}: {path} defines no {what}"


def defines(file: Path, names: list[str]) -> bool:
    body: list[ast.AST] = list(ast.walk(ast.parse(file.read_text())))
    for each in names:
        found = [node for node in body if getattr(node, "name", None) == each]
        if not found:
            return False
        body = [inner for node in found for inner in ast.walk(node) if inner is not node]
    return True


def test_every_file_and_function_that_is_named_is_there() -> None:
    nothing(line for page in PAGES for line in missing_code(page))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_six_parts(page: Path) -> None:
    text = page.read_text()

    assert text.startswith(f"# {page.name[:4]} ")
    assert re.search(r"^Status: \w+, \d{4}-\d\d-\d\d$", text, flags=re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == PARTS


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_pages_are_short() -> None:
    sizes = {name(page): len(page.read_text().splitlines()) for page in PAGES}

    nothing(
        f"{page} has {size} lines, {most} are the most"
        for page, size in sizes.items()
        for start, most in MOST_LINES.items()
        if page.startswith(start) and size > most
    )


def test_every_example_has_a_page() -> None:
    examples = {recipe.parent for recipe in (REPO / "examples").glob("*/recipe.py")}

    assert {name(example) for example in examples if not (example / "README.md").is_file()} == set()
