"""Prepares a site's share of a run, in a process of its own: the recipe may load what a relay must not.

`python -m fox_hpc.cli.prepare` reads a Wanted as JSON from stdin and writes `run.json`, `client.pkl` and the
relay's keys into the folder that it names. The client object is this site's own: nothing of it came from
the server.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import msgspec

from ..envs.deployment import close_folder, make_spec, save_client
from ..envs.hpc import HpcEnv
from ..errors import FoxError, RecipeError
from ..hpc.profile import Profile, load_profile
from ..recipe import FoxRecipe
from ..site.owner import load_filters
from ..spec import RelaySpec, RunSpec, save_spec
from ..wire.handshake import Welcome
from ..wire.keys import make_keys
from .load import load
from .report import exit_code, say

#: The ranks are processes of this machine, and no scheduler is asked.
LOCAL = "local"
_LOCAL_POLL_S = 0.5


class Wanted(msgspec.Struct, frozen=True):
    """What is to be prepared; paths are absolute."""

    recipe: str
    site: str
    folder: str
    welcome: Welcome
    scheduler: str = "auto"
    profile: str | None = None
    ports: tuple[int, int] | None = None


def prepare(wanted: Wanted) -> None:
    """Write down what the site's relay and workers need."""
    recipe = load(wanted.recipe).recipe
    _check(recipe, wanted)
    folder = Path(wanted.folder)
    close_folder(folder)
    spec = _spec(recipe, wanted)
    # Before any job starts; each rank loads them again.
    load_filters(spec.owner)
    save_client(recipe, folder)
    make_keys(folder / "keys", ["relay"])
    # Last: a folder with a run.json has all of it.
    save_spec(spec)


def _check(recipe: FoxRecipe, wanted: Wanted) -> None:
    welcome = wanted.welcome
    for what, ours, theirs in (
        ("job_name", recipe.job_name, welcome.job_name),
        ("client", recipe.client_class, welcome.client_class),
    ):
        if ours != theirs:
            raise RecipeError(
                f"{wanted.recipe} has {what} {ours!r}, but the server runs {theirs!r}: "
                "the same recipe on both is right"
            )


def _spec(recipe: FoxRecipe, wanted: Wanted) -> RunSpec:
    welcome = wanted.welcome
    profile = Profile() if wanted.profile is None else load_profile(wanted.profile)
    relay = profile.relay
    if wanted.ports is not None:
        relay = RelaySpec(relay.listen, relay.advertise, wanted.ports)
    if wanted.scheduler != LOCAL:
        env = HpcEnv(
            scheduler=wanted.scheduler,
            poll_s=profile.poll_s,
            profile=profile.job,
            relay=relay,
            owner=profile.owner,
        )
        return env.share(
            recipe,
            wanted.site,
            run=welcome.run,
            sites=welcome.sites,
            min_clients=welcome.min_clients,
            folder=wanted.folder,
        )
    spec = make_spec(
        recipe,
        len(welcome.sites),
        run=welcome.run,
        folder=wanted.folder,
        scheduler=LOCAL,
        poll_s=_LOCAL_POLL_S,
        names=welcome.sites,
    )
    return msgspec.structs.replace(
        spec,
        sites=(spec.site(wanted.site),),
        all_sites=welcome.sites,
        min_clients=welcome.min_clients,
        relay=relay,
        owner=profile.owner,
    )


def main() -> None:
    """Prepare what stdin asks for; the exit code is that of `fox-hpc`."""
    # A terminal's Ctrl-C comes here too; `join` knows what is to be ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
        with contextlib.redirect_stdout(sys.stderr):
            prepare(wanted)
    except FoxError as error:
        say(error)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
