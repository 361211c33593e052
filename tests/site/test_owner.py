"""What the owner of a site lays down, as the processes there find it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fox_hpc import RecipeError
from fox_hpc.call import Fault, Reply
from fox_hpc.cli.prepare import Wanted, prepare
from fox_hpc.site.owner import held_back, load_filters
from fox_hpc.spec import OwnerSpec, load_spec
from fox_hpc.wire.handshake import Welcome

RULES = "number = 3\ndef strip(func, value):\n    return f'stripped {value}'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "rules_of_a_site.py").write_text(RULES)
    yield tmp_path
    for name in ("rules_of_a_site", "owned"):
        sys.modules.pop(name, None)


def test_filters_are_found_in_the_owners_folder_and_the_path_is_as_before(folder: Path) -> None:
    before = list(sys.path)

    filters = load_filters(OwnerSpec(outgoing=("rules_of_a_site:strip",), folder=str(folder)))

    assert [each("f", 1) for each in filters.outgoing] == ["stripped 1"]
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rules_of_nobody:strip", "'rules_of_nobody:strip' cannot be imported: ModuleNotFoundError"),
        ("rules_of_a_site:split", "'rules_of_a_site:split' cannot be imported: AttributeError"),
        ("rules_of_a_site:number", "'rules_of_a_site:number' is no function"),
    ],
)
def test_a_filter_that_is_not_there_is_named(folder: Path, name: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_filters(OwnerSpec(incoming=(name,), folder=str(folder)))


RAISED = Fault("remote", "KeyError", "patient 17", traceback="line 3: patient 17", rank=2, host="n1")
REFUSED = Fault("refused", "strip", "ValueError: patient 17", host="site-1")


@pytest.mark.parametrize(
    ("errors", "fault", "message", "traceback"),
    [
        ("full", RAISED, "patient 17", "line 3: patient 17"),
        ("message", RAISED, "patient 17", ""),
        ("type", RAISED, "", ""),
        ("message", REFUSED, "ValueError: patient 17", ""),
        ("type", REFUSED, "ValueError", ""),
        ("type", Fault("nofunc", message="no f()", known=("g",)), "no f()", ""),
    ],
)
def test_of_an_error_so_much_is_told(errors: str, fault: Fault, message: str, traceback: str) -> None:
    told = held_back(Reply(fault=fault), errors).fault

    assert told is not None
    assert (told.message, told.traceback) == (message, traceback)
    assert (told.kind, told.type_name, told.rank, told.known) == (
        fault.kind,
        fault.type_name,
        fault.rank,
        fault.known,
    )


RECIPE = """
from fox_hpc import FoxRecipe, fox

class Server:
    @fox.algo
    def run(self): ...

class Client:
    @fox.collab
    def train(self): ...

recipe = FoxRecipe("owned", 1, Server(), Client(), props={"lr": 1})
"""


def _wanted(folder: Path, filters: str) -> Wanted:
    (folder / "owned.py").write_text(RECIPE)
    (folder / "site.toml").write_text(f"[props]\nlr = 2\n[filters]\noutgoing = ['{filters}']\n")
    (folder / "run").mkdir()
    welcome = Welcome("0", "owned-1", "owned", "Client", ("site-a",), 1)
    where = str(folder / "owned.py"), "site-a", str(folder / "run")
    return Wanted(*where, welcome, scheduler="local", profile=str(folder / "site.toml"))


def test_a_site_that_joins_brings_its_owners_words(folder: Path) -> None:
    prepare(_wanted(folder, "rules_of_a_site:strip"))

    spec = load_spec(folder / "run")
    assert spec.owner == OwnerSpec({"lr": 2}, (), ("rules_of_a_site:strip",), str(folder))
    assert spec.site("site-a").props == {"lr": 1}


def test_a_site_whose_filters_are_not_there_does_not_join(folder: Path) -> None:
    with pytest.raises(RecipeError, match="rules_of_nobody"):
        prepare(_wanted(folder, "rules_of_nobody:strip"))

    assert not (folder / "run" / "run.json").exists()
