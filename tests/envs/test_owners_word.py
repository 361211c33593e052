"""What the owner of a cluster lays down holds; and a site dies that waits for another one."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from fox_hpc import HpcEnv
from fox_hpc.cli.load import load
from fox_hpc.hpc.profile import load_profile

RULES = """
import fox_hpc

def strip(func, value):
    if value == "secret":
        raise PermissionError("a secret stays here")
    return f"stripped {value}" if func == "look" and isinstance(value, str) else value

def check(func, value):
    return f"checked {value}" if func == "look" else value
"""
SITE = """
[props]
lr = 9
[filters]
incoming = ["house_rules:check"]
outgoing = ["house_rules:strip"]
errors = "type"
"""
RECIPE = """
import os, signal, threading, time
from pathlib import Path
from fox_hpc import Filters, FoxRecipe, fox

HERE = Path(__file__).parent

def add(func, value):
    return f"added {value}" if func == "look" else value

def caught(ask):
    try:
        return ask()
    except Exception as error:
        facts = [getattr(error, name, "") for name in ("traceback", "stderr_tail")]
        return [type(error).__name__, str(error), *facts]

class Server:
    @fox.algo
    def run(self):
        one, two = fox.clients
        told = {
            "look": one.look("x"),
            "prop": [one.prop("lr"), one.prop("epochs")],
            "call": caught(lambda: one.ask_server("secret")),
            "raised": caught(one.fail),
        }
        told["passed"] = one.ask_two("y")
        told["lost"] = caught(one.die_while_two_waits)
        told["two"] = two.was_told()
        return told

    @fox.collab
    def hear(self, value):
        return value

class Client:
    told = False

    @fox.collab
    def look(self, value):
        return f"seen {value}"

    @fox.collab
    def prop(self, name):
        return fox.prop(name)

    @fox.collab
    def ask_server(self, value):
        return fox.server.hear(value)

    @fox.collab
    def fail(self):
        raise ValueError("patient 17")

    @fox.collab
    def ask_two(self, value):
        return fox.other_clients[0].look(value)

    @fox.collab
    def die_while_two_waits(self):
        def die():
            while not (HERE / "waits").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=die).start()
        return fox.other_clients[0].wait()

    @fox.collab
    def wait(self):
        (HERE / "waits").touch()
        while not fox.is_aborted:
            time.sleep(0.01)
        self.told = True

    @fox.collab
    def was_told(self):
        return self.told

recipe = FoxRecipe("owned", 1, Server(), Client(), props={"lr": 1, "epochs": 2},
                   sites={"site-1": {"props": {"lr": 3}}}, site_filters=Filters([add], [add]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the recipe's algorithm saw of a cluster that has rules."""
    owner, recipe = tmp_path_factory.mktemp("owner"), tmp_path_factory.mktemp("recipe")
    (owner / "house_rules.py").write_text(RULES)
    (owner / "site.toml").write_text(SITE)
    # A module of that name in the recipe's folder must not stand in the place of the owner's.
    (recipe / "house_rules.py").write_text("strip = check = lambda func, value: value")
    (recipe / "ruled.py").write_text(RECIPE)
    env = HpcEnv(2, "fake-slurm", recipe, owner=load_profile(owner / "site.toml").owner)
    try:
        return load(str(recipe / "ruled.py")).recipe.execute(env).result(120)
    finally:
        sys.modules.pop("ruled", None)


def test_the_owners_filters_are_the_outermost(told: Any) -> None:
    assert told["look"] == "stripped added seen added checked x"


def test_between_sites_values_pass_both_borders_on_each_way(told: Any) -> None:
    # Site 1 sends, site 2 gets and answers, site 1 gets that and answers with it.
    there = "added checked stripped added y"
    assert told["passed"] == f"added checked stripped added seen {there}"


def test_the_owners_props_go_before_a_recipes(told: Any) -> None:
    assert told["prop"] == [9, 2]


def test_an_argument_of_a_sites_own_call_cannot_leave_past_the_owner(told: Any) -> None:
    name, text, traceback, _ = told["call"]

    assert (name, traceback) == ("RemoteError", "")
    assert "ask_server() at site-1" in text
    assert "raised CallRefused" in text
    assert "secret stays" not in text


def test_of_an_error_only_its_type_is_told(told: Any) -> None:
    name, text, traceback, _ = told["raised"]

    assert (name, traceback) == ("RemoteError", "")
    assert "raised ValueError" in text
    assert "patient" not in text


def test_of_a_job_that_was_lost_stderr_stays_at_the_site(told: Any) -> None:
    assert (told["lost"][0], told["lost"][3]) == ("SiteLost", "")


def test_a_site_that_dies_gives_up_what_it_waits_for(told: Any) -> None:
    assert told["two"] is True
