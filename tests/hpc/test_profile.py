"""Profiles: a cluster's settings in a file, under a recipe's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fox_hpc import FoxRecipe, HpcEnv, fox
from fox_hpc.errors import RecipeError
from fox_hpc.hpc.profile import Profile, load_profile, read_profile
from fox_hpc.spec import OwnerSpec, RelaySpec

TEXT = """
[job]
scheduler = "slurm"
queue = "gpu"
account = "proj-42"
gpus_per_node = 4
prologue = ["module load cuda"]

[relay]
poll_s = 45
listen = "::"
advertise = ["login1-ib0", "tcp://[fd00::5]:20000"]
ports = "20000-20010"
"""


class Server:
    @fox.algo
    def run(self) -> None: ...


class Client:
    @fox.collab
    def work(self) -> None: ...


def test_a_profile_is_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(TEXT)

    assert load_profile(tmp_path / "site.toml") == Profile(
        {
            "scheduler": "slurm",
            "partition": "gpu",
            "account": "proj-42",
            "gpus_per_node": 4,
            "prologue": ["module load cuda"],
        },
        poll_s=45.0,
        relay=RelaySpec("::", ("login1-ib0", "tcp://[fd00::5]:20000"), (20000, 20010)),
    )


def test_an_owners_props_and_filters_are_read_with_their_folder(tmp_path: Path) -> None:
    text = "[props]\nlr = 0.1\n[filters]\noutgoing = ['rules:strip']\nerrors = 'type'\n"
    (tmp_path / "site.toml").write_text(text)

    owner = load_profile(tmp_path / "site.toml").owner

    assert owner == OwnerSpec({"lr": 0.1}, (), ("rules:strip",), str(tmp_path), "type")


def test_an_empty_profile_says_nothing() -> None:
    assert read_profile("") == Profile({}, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[job]\nparttion = 'gpu'", "site.toml [job] has no key 'parttion'; did you mean 'partition'?"),
        ("[job]\nmem = 64", "site.toml [job]['mem']=64: a whole number with its unit"),
        (
            "[relay]\nports = '9-1'",
            "site.toml [relay]: ports='9-1': a range of ports is right, two or more: '20000-20010'",
        ),
        (
            "[relay]\nports = '20000-20000'",
            "site.toml [relay]: ports='20000-20000': a range of ports is right",
        ),
        ("[relay]\nports = 20000", "site.toml [relay]: ports=20000: a range of ports is right"),
        ("[relay]\nadvertise = 'login1'", "site.toml [relay]: advertise='login1': a list is right"),
        ("[relay]\nlisten = 1", "site.toml [relay]: listen=1: an address of this host is right"),
        ("[relay]\nport = '1-2'", "site.toml [relay] has no key 'port'; did you mean 'ports'?"),
        ("partition = 'gpu'", "site.toml has no 'partition' outside of a table; right are [job] and [relay]"),
        ("[jobs]\nmem = '1G'", "site.toml has no 'jobs' outside of a table"),
        ("job = 3", "site.toml: 'job' is a table, written [job]"),
        ("[relay]\npol_s = 3", "site.toml [relay] has no key 'pol_s'; did you mean 'poll_s'?"),
        ("[relay]\ncolour = 3", "site.toml [relay] has no key 'colour'; right: poll_s"),
        ("[relay]\npoll_s = 0", "poll_s=0: a number of seconds above 0 is right"),
        ("[relay]\npoll_s = nan", "poll_s=nan: a number of seconds above 0 is right"),
        ("[filters]\noutgoing = 'a:b'", "outgoing='a:b': a list is right, ['module:function']"),
        ("[filters]\nincoming = ['a.b']", "incoming=['a.b']: a list is right"),
        ("[filters]\nresult = []", "site.toml [filters] has no key 'result'; right: incoming, outgoing"),
        ("[filters]\nerrors = 'no'", "errors='no': 'full', 'message', 'type' are right"),
        ("[props]\nday = 2026-01-01", "site.toml [props]['day']=datetime.date(2026, 1, 1): None, bool"),
        ("[job\n", "site.toml is not TOML: "),
    ],
)
def test_a_wrong_profile_is_answered_with_what_is_right(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as wrong:
        read_profile(text)

    assert sentence in str(wrong.value)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml cannot be read: No such file"):
        load_profile(tmp_path / "nowhere.toml")


def test_a_recipe_goes_before_its_profile_and_a_site_before_both() -> None:
    recipe = FoxRecipe(
        "job",
        2,
        Server(),
        Client(),
        hpc_config={"cpus_per_node": 8, "account": "mine"},
        sites={"site-2": {"hpc_config": {"account": "theirs", "gpus_per_node": 0}}},
    )
    profile = read_profile(TEXT).job
    first, second = (each.plan.config for each in HpcEnv(2, profile=profile).plan(recipe))

    assert (first.partition, first.account, first.gpus_per_node, first.cpus_per_node) == ("gpu", "mine", 4, 8)
    assert (second.partition, second.account, second.gpus_per_node) == ("gpu", "theirs", 0)


def test_an_env_refuses_a_profile_with_an_unknown_key() -> None:
    with pytest.raises(RecipeError, match="profile has no key 'colour'"):
        HpcEnv(2, profile={"colour": "red"})


def test_a_default_that_a_recipe_spells_out_wins_over_the_profile() -> None:
    said = {"nodes_per_client": 1, "queue": None, "exclusive": False}
    recipe = FoxRecipe("job", 1, Server(), Client(), hpc_config=said)
    profile = {"nodes_per_client": 1, "partition": "gpu", "exclusive": True, "gpus_per_node": 4}
    [plan] = HpcEnv(profile=profile).plan(recipe)

    assert (plan.plan.config.partition, plan.plan.config.exclusive) == (None, False)
    assert plan.plan.config.gpus_per_node == 4


def test_a_scheduler_that_a_recipe_leaves_open_is_not_the_profiles() -> None:
    profile = {"scheduler": "lsf"}
    left_open = FoxRecipe("job", 1, Server(), Client(), hpc_config={"scheduler": "auto"})
    silent = FoxRecipe("job", 1, Server(), Client())

    assert HpcEnv(profile=profile).plan(left_open)[0].command[0] == "sbatch"
    assert HpcEnv(profile=profile).plan(silent)[0].command[0] == "bsub"
