"""`fox`: the one object that user code imports."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..errors import FoxError, RunCancelled
from .context import SERVER, current
from .decorators import mark
from .per_site import PerSite
from .proxy import Proxy, ProxyList
from .terms import NO_DEFAULT

F = TypeVar("F", bound=Callable[..., Any])


class Fox:
    """Marks functions, and knows the place where the marked functions run.

    The marks:
        @fox.algo      the federated algorithm, on the server; exactly one.
        @fox.collab    may be called from afar.
        @fox.init      runs once at its place before anything else there.
        @fox.final     runs once at its place at the end of the run.

    Everything else answers inside a run only, and raises FoxError elsewhere.
    """

    @staticmethod
    def algo(func: F) -> F:
        """Mark the federated algorithm of the server."""
        return mark(func, "algo")

    @staticmethod
    def collab(func: F) -> F:
        """Mark a function that may be called from afar."""
        return mark(func, "collab")

    @staticmethod
    def init(func: F) -> F:
        """Mark a function that runs once, before anything else at its place."""
        return mark(func, "init")

    @staticmethod
    def final(func: F) -> F:
        """Mark a function that runs once, at the end of the run."""
        return mark(func, "final")

    @property
    def clients(self) -> ProxyList:
        """All sites of the run, in order; at a site it is one of them.

        Calls between sites go by way of the server. A site that waits for itself would wait for ever: such a
        call fails with WaitCycle; `fox.other_clients` leaves it out.
        """
        return self._sites(current().sites)

    @property
    def other_clients(self) -> ProxyList:
        """All sites but this one, in order; on the server all."""
        context = current()
        return self._sites([site for site in context.sites if site != context.site_name])

    @staticmethod
    def _sites(names: Sequence[str]) -> ProxyList:
        context = current()
        objects = context.terms.client_objects
        return ProxyList([Proxy(context.backend, site, objects=objects) for site in names])

    @property
    def server(self) -> Proxy:
        """The server, whose @fox.collab functions a site may call; at sites only."""
        context = current()
        if context.site_name == SERVER:
            raise FoxError("fox.server is there at sites only: on the server, call the function itself")
        return Proxy(context.backend, SERVER, objects=context.terms.server_objects)

    @staticmethod
    def per_site(values: Mapping[str, Any]) -> PerSite:
        """Make an argument of a call that is another one for each site: `train(w, lr=fox.per_site({…}))`.

        Args:
            values: site name → value; one for each site that the call goes to.

        Raises:
            RecipeError: it names what is no site. A site that has nothing is found when the call is made.
        """
        return PerSite(values, current().sites)

    @property
    def props(self) -> Mapping[str, Any]:
        """A copy of the props of this place: the recipe's, the recipe's for this site, the site's own."""
        return copy.deepcopy(dict(current().terms.props))

    def prop(self, name: str, default: Any = NO_DEFAULT) -> Any:
        """Give one of `props`, or the default.

        Raises:
            FoxError: there is none of that name, and no default; names those that there are.
        """
        return current().terms.prop(name, default)

    @property
    def site_name(self) -> str:
        """The name of this place: "server" or e.g. "site-1"."""
        return current().site_name

    @property
    def caller(self) -> str:
        """The place that called the function which runs now, "" if none did."""
        return current().caller

    @property
    def is_aborted(self) -> bool:
        """True once nobody waits for this function any more: stop early and return anything."""
        return current().is_aborted()

    @property
    def workspace(self) -> Path:
        """A folder for this place's own files."""
        return current().workspace

    def time_left(self) -> float:
        """Give the seconds until this site's job should stop by itself; infinite without a time limit.

        It is below 0 once the scheduler has warned of the job's end. A training loop that ends in time
        and returns what it has saves its work: after the answer, the job leaves, and the next attempt
        serves the next call. A call that the job's end cuts off is run again from its beginning. Ranks
        may differ a little: ask on rank 0, and broadcast what follows from it.
        """
        return current().time_left()

    def rounds(self, total: int) -> Iterator[int]:
        """Count 0, 1, … `total - 1`, and show the progress to whoever watches the run.

        Raises:
            RunCancelled: the run was cancelled; checked before each round.
        """
        context = current()
        for done in range(total + 1):
            if context.is_aborted():
                raise RunCancelled(f"the run was cancelled before round {done + 1} of {total}")
            if context.on_round is not None:
                context.on_round(done, total)
            if done < total:
                yield done

    def __repr__(self) -> str:
        return "<fox>"


fox = Fox()
