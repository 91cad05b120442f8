"""Harness's errors as asv's."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from harness import internal


def with_asv_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn harness's errors into asv's, which asv prints without a traceback.

    One that nobody expected goes into a file that the message names; asv's own pass as they are.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from asv.util import UserError

        try:
            return function(*args, **kwargs)
        except Exception as error:
            if type(error).__module__.partition(".")[0] in ("asv", "asv_runner"):
                raise
            raise UserError(internal.expected(error) or internal.message(error, doing=sys.argv)) from error

    return wrapped
