"""Running a user's Client API script top to bottom."""

from __future__ import annotations

import runpy
import sys
from typing import Any

from ..api.client_api import FoxClientAPI
from ..errors import RecipeError


def run_script(module: str, api: FoxClientAPI[Any], *, alone: bool) -> BaseException | None:
    """Run a module as a script and tell `api` how it ended; returns what it raised.

    `alone` says that the process runs nothing else, so that the script may be `__main__` for real.
    """
    error: BaseException | None = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=alone)
    except SystemExit as end:
        error = None if end.code in (None, 0) else end
    except ImportError as missing:
        unknown = missing.name == module
        error = (
            RecipeError(f"training_module {module!r} cannot be imported: {missing}") if unknown else missing
        )
    except BaseException as raised:
        error = raised
    api.script_ended(error)
    if error is not None and alone:
        sys.excepthook(type(error), error, error.__traceback__)
    return error
