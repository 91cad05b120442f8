"""Harness's errors as asv's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from harness.errors import HarnessError


def with_asv_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn harness's errors into asv's, which asv prints without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from asv.util import UserError

        try:
            return function(*args, **kwargs)
        except HarnessError as error:
            raise UserError(str(error)) from error

    return wrapped
