"""Group: one call to several sites; one path for one site or a thousand, waited for or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..call import Call, CallOption
from ..errors import NotAllowed, RecipeError, RunCancelled
from .backend import Backend
from .border import Border
from .context import Context, current
from .group_call import GroupCall
from .per_site import check_per_site
from .results import Results
from .streams import end_streams, send_streams

log = logging.getLogger(__name__)


class Group:
    """Several targets and how to call them: `Group(["site-1", "site-2"], backend, option).train(w)`."""

    def __init__(
        self,
        targets: Sequence[str],
        backend: Backend,
        call_opt: CallOption | None = None,
        *,
        single: bool = False,
    ) -> None:
        self._targets, self._backend, self._single = tuple(targets), backend, single
        self._option = call_opt or CallOption()

    def __getattr__(self, func: str) -> Callable[..., Any]:
        if func.startswith("_"):
            raise AttributeError(f"Group has no attribute {func!r}")
        return partial(self.invoke, func)

    def invoke(self, func: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function at all targets.

        Returns:
            Results in the order of the sites; the bare value for a single target; a GroupCall with
            `blocking=False`; None with `expect_result=False`.

        Raises:
            GroupError: fewer sites answered than were needed.
            CallError: the single target failed, or the callback on an answer.
            CallRefused: a filter of this place refused an argument; nothing was sent.
            CodecError: an argument cannot be encoded; nothing was sent.
            RecipeError: an argument that is for each site has nothing for one, or an argument is an iterator
                and this call cannot send one; nothing was sent.
            RunCancelled: the run was cancelled.
        """
        context, option = current(), self._option
        if context.is_aborted():
            raise RunCancelled(f"{func}() was not called: the run was cancelled")
        if option.secure and not self._backend.secure:
            raise NotAllowed(f"{func}() was asked to be secure, but the links of this run are not encrypted")
        call = self._call(func, args, kwargs, context)
        call, backend = send_streams(
            call, Border(self._backend, context), self._targets, option.parallel, context
        )
        try:
            group_call = GroupCall(call, self._targets, backend, option, context, single=self._single)
        except BaseException:
            end_streams(backend, self._targets)
            raise
        if not (option.blocking and option.expect_result):
            group_call.run_in_background()
            return group_call if option.expect_result else None
        results = group_call.results()
        return self._only(func, results) if self._single else results

    def _call(self, func: str, args: tuple[Any, ...], kwargs: dict[str, Any], context: Context) -> Call:
        option, filters = self._option, context.terms.filters
        name = f"{option.target}.{func}" if option.target else func
        if option.late and filters.incoming:
            raise RecipeError(
                f"{name}(): late=True leaves the answer where it is, and the filters need it here"
            )
        call = Call(
            name,
            args,
            kwargs,
            context.site_name,
            option.timeout,
            option.ranks,
            option.late,
            waits=option.expect_result,
        )
        check_per_site(call, self._targets)
        return filters.on_call(call, context.site_name, leaves=True)

    def _only(self, func: str, results: Results) -> Any:
        for site, error in results.failures.items():
            log.warning("optional call of %s() at %s failed: %s", func, site, error)
            return None
        return results[0]
