"""FoxRecipe: what is run, checked; an environment decides where."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .api.app import ClientApp, ServerApp
from .api.client_api import FoxClientAPI
from .api.code_folders import find_module, folder_of, folder_of_object, is_users
from .api.filters import Filters
from .api.terms import Terms
from .errors import RecipeError
from .export.arguments import describe
from .export.folder import export
from .hpc.resources import HpcConfig
from .props import checked_props
from .spec import SiteSpec
from .tracking.receiver import Receiver, checked_tracking_type
from .wire.codec_classes import register_payload

R_co = TypeVar("R_co", covariant=True)

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SITE_KEYS = ("run_cmd", "hpc_config", "props")


class Deploys(Protocol[R_co]):
    """An environment, seen from the recipe."""

    def deploy(self, recipe: FoxRecipe) -> R_co:
        """Start the recipe and return its run."""


class FoxRecipe:
    """A federated job: the server's algorithm, what each site runs, and how a site's processes start.

    Args:
        job_name: letters, digits, dot, dash and underscore; part of the run's id.
        min_clients: how many sites a group call needs when it does not say so itself.
        server: an instance or a module with one `@fox.algo` function.
        client: an instance or a module with `@fox.collab` functions, or a `FoxClientAPI()`.
        inprocess: False starts each site's ranks with `run_cmd`.
        run_cmd: e.g. `torchrun --nproc_per_node=4`; goes with `inprocess=False`.
        training_module: the script's dotted name, for a FoxClientAPI without a training function.
        hpc_config: what each site's job asks its scheduler for; the keys are those of HpcConfig.
        tracking_type: "tensorboard", "mlflow", "wandb", a receiver of your own, or a list of these; None for
            no files.
        client_objects, server_objects: sub-objects, `{"eval": Evaluator()}`: `fox.clients.eval.score(w)`.
        props: named values that `fox.prop(name)` reads, on the server and at sites.
        site_filters, server_filters: what values pass that come to a site, or the server, or leave it.
        sites: overrides of single sites, `{"site-1": {"run_cmd": …, "hpc_config": {…}, "props": {…}}}`.

    Raises:
        RecipeError: an argument is unknown or wrong; the text says what would be right.
    """

    def __init__(
        self,
        job_name: str,
        min_clients: int = 1,
        server: object = None,
        client: object = None,
        *,
        inprocess: bool = True,
        run_cmd: str | None = None,
        training_module: str | None = None,
        hpc_config: Mapping[str, Any] | None = None,
        tracking_type: str | Receiver | Sequence[str | Receiver] | None = None,
        client_objects: Mapping[str, object] | None = None,
        server_objects: Mapping[str, object] | None = None,
        props: Mapping[str, Any] | None = None,
        site_filters: Filters | None = None,
        server_filters: Filters | None = None,
        sites: Mapping[str, Mapping[str, Any]] | None = None,
        **unknown: Any,
    ) -> None:
        _refuse_unknown(unknown)
        self.job_name = _checked_job_name(job_name)
        self.min_clients = _checked_min_clients(min_clients)
        filters = _checked_filters("server_filters", server_filters)
        self.server_app = ServerApp(_given("server", server, "@fox.algo"), server_objects, filters)
        filters = _checked_filters("site_filters", site_filters)
        self.client_app = ClientApp(_given("client", client, "@fox.collab"), client_objects, filters)
        if isinstance(self.client_app.obj, FoxClientAPI):
            register_payload(self.client_app.obj.payload)
        self.props = checked_props("props", {} if props is None else props)
        self.inprocess = _checked_type("inprocess", inprocess, bool, "True or False")
        self.run_cmd = self._checked_run_cmd("run_cmd", run_cmd)
        self.training_module = self._checked_training_module(training_module)
        self.hpc_config = HpcConfig.from_mapping({} if hpc_config is None else hpc_config)
        # A key that is spelled out wins over a cluster's profile, be its value the default or not.
        self.hpc_said = dict(hpc_config or {})
        checked_tracking_type(tracking_type)
        self.tracking_type = tracking_type
        self.sites = self._checked_sites({} if sites is None else sites)
        if not inprocess and self.run_cmd is None:
            raise RecipeError("inprocess=False needs run_cmd, e.g. run_cmd='torchrun --nproc_per_node=2'")
        self.code_path = self._code_path()

    @property
    def client_class(self) -> str:
        """ "FoxClientAPI" if a script does the work, else the client's class, module or function."""
        obj = self.client_app.obj
        if not isinstance(obj, FoxClientAPI):
            return self.client_app.name
        func = obj.training_func
        return "FoxClientAPI" if func is None else getattr(func, "__qualname__", type(func).__name__)

    def execute(self, env: Deploys[R_co]) -> R_co:
        """Start the recipe in an environment and return its run at once.

        Raises:
            RecipeError: the recipe does not fit the environment.
            WorkspaceError: the run folder cannot be made.
        """
        if not callable(getattr(env, "deploy", None)) or isinstance(env, type):
            raise RecipeError(f"execute({env!r}): an environment is right, e.g. SimEnv(num_clients=2)")
        return env.deploy(self)

    def export(self, folder: str | os.PathLike[str], code: str | None = None) -> Path:
        """Write a folder that can be read, signed, and run elsewhere: `fox-hpc submit FOLDER`.

        It has the recipe's file, its arguments for readers, and a manifest. Nothing in it is pickled.

        Args:
            folder: is made; may be there if it is empty.
            code: a name, e.g. "src", of the folder within it that all of the recipe's modules are copied
                to. By default the modules are named only, and must be there where it is run.

        Raises:
            RecipeError: no file makes this recipe when it is loaded, or the folder is not empty.
            WorkspaceError: the folder cannot be written.
        """
        return export(self, Path(folder).absolute(), code)

    def described(self) -> dict[str, Any]:
        """Give the arguments as plain values: what a reader of an exported folder sees."""
        return describe(self, _ARGUMENTS)

    def site_names(self, count: int) -> tuple[str, ...]:
        """Name the sites of a run: site-1, site-2, …"""
        return tuple(f"site-{number}" for number in range(1, count + 1))

    def site_specs(self, count: int, names: Sequence[str] = ()) -> tuple[SiteSpec, ...]:
        """Describe each site of a run, with its overrides.

        Args:
            names: what the sites are called, if not site-1, site-2, …

        Raises:
            RecipeError: there are fewer sites than `min_clients`, or `sites=` names one that is not there.
        """
        names = tuple(names) or self.site_names(count)
        if self.min_clients > count:
            raise RecipeError(f"min_clients={self.min_clients}, but the environment has {count} sites")
        for name in self.sites:
            if name not in names:
                raise RecipeError(f"sites= has {name!r}, but the sites of this run are {', '.join(names)}")
        return tuple(self._site_spec(name) for name in names)

    def server_terms(self) -> Terms:
        """Give what this recipe lays down for the server."""
        return Terms(
            tuple(self.client_app.objects),
            tuple(self.server_app.objects),
            self.props,
            self.server_app.filters,
        )

    def _site_spec(self, name: str) -> SiteSpec:
        override = self.sites.get(name, {})
        hpc = self.hpc_config.merged(override.get("hpc_config", {}), f"sites[{name!r}]['hpc_config']")
        props = {**self.props, **override.get("props", {})}
        return SiteSpec(name, override.get("run_cmd", self.run_cmd), hpc.as_mapping(), props)

    def _checked_run_cmd(self, where: str, run_cmd: str | None) -> str | None:
        if run_cmd is None:
            return None
        if not isinstance(run_cmd, str) or not run_cmd.strip():
            raise RecipeError(f"{where}={run_cmd!r}: a command line as one string is right")
        if self.inprocess:
            raise RecipeError(f"{where}={run_cmd!r} would not be used: it goes with inprocess=False")
        return run_cmd

    def _checked_training_module(self, name: str | None) -> str | None:
        api = self.client_app.obj
        scripted = isinstance(api, FoxClientAPI) and api.training_func is None
        if scripted and self.client_app.objects:
            raise RecipeError("client_objects= goes with functions that are called, and not with a script")
        if name is None:
            if scripted:
                raise RecipeError(
                    "client=FoxClientAPI() needs training_module='my.script', or a set_training_func() before"
                )
            return None
        if not isinstance(name, str):
            raise RecipeError(f"training_module={name!r}: a dotted module name is right, e.g. 'my.client'")
        if not scripted:
            raise RecipeError(
                f"training_module={name!r} would not be used: it goes with a FoxClientAPI() that has no "
                "training function; another client brings its own functions"
            )
        find_module(name)
        return name

    def _checked_sites(self, sites: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        if not isinstance(sites, Mapping) or not all(isinstance(one, Mapping) for one in sites.values()):
            raise RecipeError("sites= is a mapping of mappings: {'site-1': {'hpc_config': {…}}} is right")
        for name, override in sites.items():
            where = f"sites[{name!r}]"
            for key in override:
                if key not in _SITE_KEYS:
                    raise RecipeError(f"{where} has no key {key!r}; right are {', '.join(_SITE_KEYS)}")
            self._checked_run_cmd(f"{where}['run_cmd']", override.get("run_cmd"))
            HpcConfig.from_mapping(override.get("hpc_config", {}), f"{where}['hpc_config']")
            checked_props(f"{where}['props']", override.get("props", {}))
        return {name: dict(override) for name, override in sites.items()}

    def _code_path(self) -> tuple[str, ...]:
        obj = self.client_app.obj
        found = [folder_of_object(obj)]
        if isinstance(obj, FoxClientAPI) and obj.training_func is not None:
            found.append(folder_of(obj.training_func))
        found += [folder_of_object(one) for one in self.client_app.objects.values()]
        filters = self.client_app.filters
        found += [folder_of(one) for one in (*filters.incoming, *filters.outgoing)]
        if self.training_module is not None:
            found.append(find_module(self.training_module))
        found.append(Path(sys.path[0]).resolve() if sys.path and sys.path[0] else None)
        kept = [str(folder) for folder in found if folder is not None and is_users(folder)]
        return tuple(dict.fromkeys(kept))

    def __repr__(self) -> str:
        return f"<FoxRecipe {self.job_name} · server {self.server_app.name} · client {self.client_app.name}>"


_ARGUMENTS = tuple(inspect.signature(FoxRecipe).parameters)[:-1]


def _refuse_unknown(unknown: Mapping[str, Any]) -> None:
    for name in unknown:
        close = difflib.get_close_matches(name, _ARGUMENTS, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else "."
        raise RecipeError(f"FoxRecipe has no argument {name!r}{guess} Right are {', '.join(_ARGUMENTS)}")


def _given(argument: str, obj: object, mark: str) -> object:
    if obj is None:
        raise RecipeError(
            f"{argument}= is missing: an instance or a module with a function marked {mark} is right"
        )
    return obj


def _checked_job_name(name: object) -> str:
    if not isinstance(name, str) or not _JOB_NAME.fullmatch(name):
        raise RecipeError(
            f"job_name={name!r}: up to 100 letters, digits, dots, dashes and underscores are right"
        )
    return name


def _checked_min_clients(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise RecipeError(f"min_clients={number!r}: a whole number from 1 on is right")
    return number


def _checked_filters(argument: str, filters: object) -> Filters:
    if filters is not None and not isinstance(filters, Filters):
        raise RecipeError(f"{argument}={filters!r}: Filters(incoming=[…], outgoing=[…]) is right")
    return filters or Filters()


T = TypeVar("T")


def _checked_type(argument: str, value: object, kind: type[T], right: str) -> T:
    if not isinstance(value, kind):
        raise RecipeError(f"{argument}={value!r}: {right} is right")
    return value
